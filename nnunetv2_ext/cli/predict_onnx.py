"""``nnUNetv2_ext predict-onnx``"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nnunetv2_ext.runtime.predictor import Predictor

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("predict-onnx", epilog="Example: nnUNetv2_ext predict-onnx -i IN -o OUT -m hippocampus")
@click.option("-i", "--input", "source", required=True, type=FOLDER, help="Folder with images, CASE_0000.nii.gz and so on.")
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write to.")
@click.option("-m", "--model", required=True, type=FOLDER, help="Folder that 'nnUNetv2_ext export' wrote.")
@click.option("--disable_tta", is_flag=True, help="Don't mirror: less accurate, up to eight times as fast.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads of the network. Default: one for each core.",
)
@click.option(
    "--engine", type=click.Choice(["onnxruntime", "openvino"]), help="What runs the network. Default: what is installed."
)
@click.option("--overwrite", is_flag=True, help="Replace segmentations that are there already.")
@click.pass_context
def predict_onnx(
    context: click.Context,
    source: Path,
    output: Path,
    model: Path,
    disable_tta: bool,
    threads: int | None,
    engine: str | None,
    overwrite: bool,
) -> None:
    """Predict from an exported model, without PyTorch and nnU-Net.

    The segmentations are those of nnUNetv2_predict on a CPU. A case that can't be predicted is reported, and the others go on;
    the exit code is then 1.
    """
    from nnunetv2_ext.errors import PredictionError
    from nnunetv2_ext.runtime.images import cases
    from nnunetv2_ext.runtime.predictor import Predictor

    predictor = Predictor(model, engine=engine, threads=threads, mirroring=not disable_tta)
    ending = predictor.model.file_ending
    found = cases(source, ending)
    if not found:
        raise PredictionError(f"{source} has no image named CASE_0000{ending}, as the images that the model was trained on")
    outputs = {case: output / f"{case}{ending}" for case in found}
    present = [case for case, file in outputs.items() if file.exists()]
    if present and not overwrite:
        raise PredictionError(
            f"{output} already has segmentations of {len(present)} of {len(found)} cases, such as {outputs[present[0]].name}. "
            "Add --overwrite to replace them, or name another folder."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PredictionError(f"{output} can't be made ({error.strerror}): name another folder to write to") from error
    context.exit(_predict_all(predictor, found, outputs))


def _predict_all(predictor: "Predictor", cases: dict[str, list[Path]], outputs: dict[str, Path]) -> bool:
    """Predicts all cases, and tells whether one of them failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, TaskID

    from nnunetv2_ext.errors import PredictionError

    began, failed = time.perf_counter(), 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for number, (case, files) in enumerate(cases.items(), 1):
            bar = progress.add_task(escape(f"{case} ({number} of {len(cases)})"), total=None)

            def on_tile(done: int, total: int, bar: TaskID = bar) -> None:
                progress.update(bar, completed=done, total=total)

            try:
                predictor.predict_files(files, outputs[case], on_tile)
            except PredictionError as error:
                failed += 1
                progress.console.print(f"{case}: {error}", markup=False, highlight=False, soft_wrap=True)
            progress.remove_task(bar)
    predicted = len(cases) - failed
    seconds = (time.perf_counter() - began) / len(cases)
    click.echo(f"Predicted {predicted} of {len(cases)} cases, {seconds:.2g} s each, into {next(iter(outputs.values())).parent}")
    return failed > 0
