"""A trained model as a page that segments images in the browser: a static folder that needs no server of ours.

``page/`` is copied as it is. ``page/steps`` repeats ``nnunetv2_ext.runtime`` in JavaScript, file by file; beside the page lie
the model, as ``folder`` writes it, and what npm fetches.
"""

import shutil
from pathlib import Path

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.folder import check_exportable, new_folder, write_model
from nnunetv2_ext.export.javascript_packages import FILES, copy_packages
from nnunetv2_ext.export.trained_model import TrainedModel
from nnunetv2_ext.runtime.description import ModelDescription
from nnunetv2_ext.runtime.images import READERS, ITKReader
from nnunetv2_ext.runtime.resampling import SPLINES

PAGE = Path(__file__).with_name("page")
FILE_ENDINGS = (".nii.gz", ".nii")
SPLINE_ORDERS = (0, 1, 3)
LARGEST_LABEL = 255


def export_page(model: TrainedModel, folder: Path, *, half: bool = False) -> ModelDescription:
    """Writes the model, its weights in half precision if asked, and a page that predicts with it to a new folder.

    Raises:
        ExportError: if the folder has something in it already, the model can't be exported or is none that the page can
            predict with, or npm isn't installed or fails; then nothing is written.
    """
    check_page_can(check_exportable(model))
    with new_folder(folder) as part:
        write_page(part)
        return write_model(model, part, half=half)


def write_page(folder: Path) -> None:
    """Writes the page without a model to a folder.

    Raises:
        ExportError: if npm isn't installed or fails.
    """
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns(*FILES), dirs_exist_ok=True)
    copy_packages(PAGE, folder)


def check_page_can(description: ModelDescription) -> None:
    """Refuses models that the page can't predict with as the runtime does.

    Raises:
        ExportError: says what the page lacks.
    """
    reader = READERS[description.reader]
    resamplings = (description.data_resampling, description.logits_resampling)
    orders = {order for how in resamplings if how.function == SPLINES for order in (how.order, how.order_z)}
    numbers = [number for value in description.labels.values() for number in ([value] if isinstance(value, int) else value)]
    if description.file_ending not in FILE_ENDINGS:
        reason = f"reads NIfTI alone, and this model's images are {description.file_ending}"
    elif isinstance(reader, ITKReader) and reader.orientation:
        reason = f"doesn't turn images, which this model's reader, {description.reader}, does"
    elif not orders <= set(SPLINE_ORDERS):
        reason = f"resamples by splines of order 0, 1 and 3, and these plans by order {max(orders - set(SPLINE_ORDERS))}"
    elif max(numbers) > LARGEST_LABEL:
        reason = f"writes labels up to {LARGEST_LABEL}, and this model has a label {max(numbers)}"
    else:
        return
    raise ExportError(f"the page {reason}: export without --web, for 'nnUNetv2_ext predict-onnx'")
