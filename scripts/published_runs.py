"""What compare reads of runs, as one small file that can be published: scores by case, run cards, plans. No checkpoints."""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nnunetv2_ext.runs import RUN_CARD, Run, State

OF_THE_MODEL = ("dataset.json", "dataset_fingerprint.json", "plans.json")
OF_THE_RUN = (RUN_CARD, "validation/summary.json")


def pack(archive: Path, results: Path, runs: Iterable[Run]) -> None:
    """Writes the finished ones of the runs into an archive, in which their folders are relative to the results folder."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = {file for run in runs if run.state() is State.FINISHED for file in _files(run)}
    with tarfile.open(archive, "w:xz") as packed:
        for file in sorted(files):
            content = json.dumps(_without_folders(json.loads(file.read_text())), separators=(",", ":")).encode()
            # A fresh TarInfo has neither date nor owner: what is the same makes the same archive.
            member = tarfile.TarInfo(file.relative_to(results).as_posix())
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


def unpack(archive: Path, results: Path) -> None:
    """Adds the archive's runs to a results folder, which keeps every file that it has."""
    with tarfile.open(archive) as packed:
        missing = [member for member in packed.getmembers() if not (results / member.name).exists()]
        packed.extractall(results, missing, filter="data")


def _files(run: Run) -> Iterator[Path]:
    for folder, names in ((run.model_folder, OF_THE_MODEL), (run.folder, OF_THE_RUN)):
        yield from (folder / name for name in names if (folder / name).is_file())


def _without_folders(content: Any) -> Any:
    """The same without the folders of a summary's images, which are those of the machine."""
    if isinstance(content, dict):
        names = ("prediction_file", "reference_file")
        return {key: Path(value).name if key in names else _without_folders(value) for key, value in content.items()}
    return [_without_folders(value) for value in content] if isinstance(content, list) else content
