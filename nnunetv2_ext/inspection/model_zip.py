"""What a model zip holds: the archives that nnUNetv2_export_model_to_zip writes."""

import json
import pickle
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from nnunetv2_ext.errors import UnsafeFileError
from nnunetv2_ext.inspection.checkpoint import HARMLESS, Checkpoint, inspect_checkpoint, named_by, versions_of
from nnunetv2_ext.inspection.inert_pickle import LARGEST, read
from nnunetv2_ext.inspection.zip_file import folded, open_zip
from nnunetv2_ext.runs import RUN_CARD

HARMLESS_IN_POSTPROCESSING = {
    *HARMLESS,
    "nnunetv2.postprocessing.remove_connected_components.remove_all_but_largest_component_from_segmentation",
}


@dataclass(frozen=True)
class Other:
    """A file beside the checkpoints that nnU-Net loads: plans.json or a pickle, such as postprocessing.pkl."""

    imports: list[str]
    suspicious: list[str]


def inspect_file(file: Path) -> dict[str, Checkpoint | Other]:
    """What is in a checkpoint or a model zip, by the name of the member that holds it; a checkpoint's own is empty.

    Raises:
        UnsafeFileError: if it is neither of the two, is damaged, or would write outside its folder when it is unpacked.
    """
    try:
        with file.open("rb") as stream, open_zip(stream, str(file)) as archive:
            members = archive.infolist()
            refuse_unsafe_members(members, str(file))
            if _is_checkpoint(members, str(file)):
                return {"": _checkpoint_file(file)}
            return _inspect_members(archive, members, file)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UnsafeFileError(
            f"{file} can't be read ({error}). It should be a checkpoint (.pth) or a zip of nnUNetv2_export_model_to_zip: get "
            "it again from where it comes from."
        ) from error


def refuse_unsafe_members(members: list[zipfile.ZipInfo], name: str) -> None:
    """Refuses members that unpacking could write to another place than their own.

    Raises:
        UnsafeFileError: if one has a path that leaves the folder, is no regular file, or is there twice.
    """
    seen: set[str] = set()
    for member in members:
        if problem := _problem_of(member, seen):
            raise UnsafeFileError(f"{name} is refused: its member {member.filename} {problem}. Don't unpack it.")
        seen.add(folded(member.filename))


def _problem_of(member: zipfile.ZipInfo, seen: set[str]) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(member.filename).drive:
        return "climbs out of its folder"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, no file"
    return "is in it twice, so that one hides the other" if folded(member.filename) in seen else ""


def _is_checkpoint(members: list[zipfile.ZipInfo], name: str) -> bool:
    """Whether the members are those of one checkpoint.

    Raises:
        UnsafeFileError: if they are partly those of a checkpoint and partly those of a model zip.
    """
    paths = [PurePosixPath(folded(member.filename)) for member in members]
    if not any(path.name in ("data.pkl", "constants.pkl") for path in paths):
        return False
    of_model = [path for path in paths if path.name.endswith((".pth", "plans.json"))]
    if of_model or len({path.parts[:1] for path in paths}) != 1:
        raise UnsafeFileError(
            f"{name} holds the parts of a checkpoint (data.pkl) and other files beside them: it is neither a checkpoint nor a "
            "model zip, and made to mislead. Don't load it and don't unpack it."
        )
    return True


def _checkpoint_file(file: Path) -> Checkpoint:
    card = file.parent / RUN_CARD
    with file.open("rb") as stream:
        return inspect_checkpoint(stream, str(file), versions_of(card.read_bytes()) if card.is_file() else {})


def _inspect_members(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], file: Path) -> dict[str, Checkpoint | Other]:
    cards = {str(PurePosixPath(name).parent): name for name in archive.namelist() if PurePosixPath(name).name == RUN_CARD}
    found: dict[str, Checkpoint | Other] = {}
    for member in members:
        name = f"{member.filename} in {file}"
        if folded(member.filename).endswith(".pth"):
            card = cards.get(str(PurePosixPath(member.filename).parent))
            if card:
                _check_size(archive.getinfo(card), f"{card} in {file}")
            with archive.open(member) as stream:
                found[member.filename] = inspect_checkpoint(stream, name, versions_of(archive.read(card)) if card else {})
        elif folded(member.filename).endswith((".pkl", ".pickle")):
            found[member.filename] = _inspect_pickle(archive, member, name)
        elif folded(member.filename).endswith("plans.json"):
            found[member.filename] = _inspect_plans(archive, member, name)
    if not any(isinstance(part, Checkpoint) for part in found.values()):
        raise UnsafeFileError(
            f"{file} holds no checkpoint (.pth): it is no model zip. nnUNetv2_export_model_to_zip writes one."
        )
    return found


def _inspect_plans(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Other:
    _check_size(member, name)
    try:
        imports, suspicious = named_by(json.loads(archive.read(member)))
    except (ValueError, RecursionError) as error:
        raise UnsafeFileError(
            f"{name} is no valid JSON ({error}): it is damaged, or made to mislead. Don't predict with this model."
        ) from error
    return Other(sorted(imports), sorted(suspicious))


def _inspect_pickle(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Other:
    _check_size(member, name)
    try:
        _, imports = read(archive.read(member))
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(f"{name} can't be read ({error}): it is damaged, or made to mislead. Don't load it.") from error
    return Other(imports, [found for found in imports if found not in HARMLESS_IN_POSTPROCESSING])


def _check_size(member: zipfile.ZipInfo, name: str) -> None:
    if member.file_size > LARGEST:
        raise UnsafeFileError(f"{name} has {member.file_size:,} bytes, more than any such file of nnU-Net's. Don't load it.")
