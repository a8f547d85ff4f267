"""A trained model as a folder for the runtime: an ONNX file per fold, and ``model.json``."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunetv2_ext.datasets import check_writable
from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.description import describe
from nnunetv2_ext.export.onnx_network import OPSET, export_network, largest_difference, store_in_half
from nnunetv2_ext.export.trained_model import TrainedModel
from nnunetv2_ext.runtime.description import Fold, ModelDescription
from nnunetv2_ext.runtime.network import sha256_of

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def export_folder(model: TrainedModel, folder: Path, *, half: bool = False) -> ModelDescription:
    """Writes the model to a new folder, its weights in half precision if asked.

    Raises:
        ExportError: if the folder has something in it already, the model can't be exported, or a package that it takes is not
            installed; then nothing is written.
    """
    check_exportable(model)
    with new_folder(folder) as part:
        return write_model(model, part, half=half)


def check_exportable(model: TrainedModel) -> ModelDescription:
    """The description of a model before its networks are exported.

    Raises:
        ExportError: if it can't be described, or a package that an export takes is not installed.
    """
    if missing := [package for package in NEEDED if not find_spec(package)]:
        raise ExportError(f"an export needs {' and '.join(missing)}: pip install 'nnunetv2-ext[export]'")
    return describe(model, (), OPSET)


def write_model(model: TrainedModel, folder: Path, *, half: bool = False) -> ModelDescription:
    """Writes the networks and ``model.json`` to a folder.

    Raises:
        ExportError: if a network can't be exported.
    """
    description = describe(model, [_export_fold(model, fold, folder, half) for fold in model.checkpoints], OPSET)
    description.write(folder)
    return description


def _export_fold(model: TrainedModel, name: str, folder: Path, half: bool) -> Fold:
    file = folder / f"fold_{name}.onnx"
    network, of_patch = model.network(name), (model.input_channels, model.configuration.patch_size)
    free_batch = export_network(network, *of_patch, file)
    if half:
        store_in_half(file)
    difference = largest_difference(network, *of_patch, file, free_batch=free_batch, half=half)
    return Fold(name, file.name, sha256_of(file.read_bytes()), free_batch, difference)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` when all is written, and goes away if that fails.

    It is beside ``folder``, or inside if that exists: a mount point or the working directory can't be replaced.

    Raises:
        ExportError: if ``folder`` has something in it.
        DatasetError: if it can't be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ExportError(f"{folder} already exists and isn't an empty folder: name another one, or move it away")
    check_writable(folder)
    folder = folder.resolve()
    exists = folder.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder if exists else folder.parent, prefix=f".{folder.name}_") as temporary:
        part = Path(temporary) / folder.name
        part.mkdir()  # which others may read as the umask says; temporary folders are for their owner alone
        yield part
        if exists:
            for path in part.iterdir():
                path.replace(folder / path.name)
        else:
            part.replace(folder)
