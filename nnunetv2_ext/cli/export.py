"""``nnUNetv2_ext export``"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand, fold_name

if TYPE_CHECKING:
    from nnunetv2_ext.export.trained_model import TrainedModel


@click.command(
    cls=MultiValueCommand,
    epilog="Example: nnUNetv2_ext export -d 4 -c 3d_fullres -tr nnUNetTrainerEGEUNet -f all -o hippocampus",
)
@click.option("-d", "--dataset", required=True, help="Id or name of the dataset it was trained on.")
@click.option("-c", "--configuration", default="3d_fullres", show_default=True, help="Configuration of the plans.")
@click.option("-tr", "--trainer", required=True, help="Name of the trainer, ours or any that nnU-Net finds.")
@click.option("-p", "--plans", default="nnUNetPlans", show_default=True, help="Name of the plans.")
@click.option("-f", "--folds", multiple=True, default=("0", "1", "2", "3", "4"), help="One or more, or all. Default: 0 1 2 3 4")
@click.option("-chk", "--checkpoint", default="checkpoint_final.pth", show_default=True, help="Its file, in each fold.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--stock", is_flag=True, help="Write a model for nnU-Net itself, under the name of a stock trainer.")
@click.option("--half", is_flag=True, help="Store the weights in half precision: half the size, as fast, almost as exact.")
@click.option("--web", is_flag=True, help="Add a page that predicts in the browser. Needs npm.")
def export(
    dataset: str,
    configuration: str,
    trainer: str,
    plans: str,
    folds: tuple[str, ...],
    checkpoint: str,
    output: Path,
    stock: bool,
    half: bool,
    web: bool,
) -> None:
    """Export a trained model, to predict without PyTorch and nnU-Net.

    The folder has an ONNX file per fold and one JSON with all that prediction needs; 'nnUNetv2_ext predict-onnx' predicts from
    it. Each network is compared with what it was exported from. With --stock the folder and the zip in it are for nnU-Net's own
    commands, where this package is installed, without nnUNet_extTrainer. With --web the folder is also a page: whoever opens it
    drops a NIfTI image on it, and their browser computes the segmentation.
    """
    if stock and web:
        raise click.UsageError("--stock writes a model for nnU-Net, --web one for browsers: export twice.")
    if stock and half:
        raise click.UsageError("--stock writes a model for nnU-Net, which keeps weights in float32: leave out --half.")
    folds = tuple(map(fold_name, folds))

    from nnunetv2_ext.export.trained_model import load_model

    model = load_model(dataset, trainer, plans, configuration, folds, checkpoint)
    if stock:
        _write_stock(model, output)
    else:
        _write_folder(model, output, half, web)


def _write_folder(model: "TrainedModel", output: Path, half: bool, web: bool) -> None:
    from rich.console import Console

    from nnunetv2_ext.export.folder import export_folder
    from nnunetv2_ext.export.web import export_page

    with Console(stderr=True).status(f"Exporting {model.folder.name}"):
        description = (export_page if web else export_folder)(model, output, half=half)
    for fold in description.folds:
        click.echo(
            f"{fold.file}: {_megabytes(output / fold.file)}, ONNX opset {description.opset}, "
            f"{'any batch' if fold.free_batch else 'batch 1'}; its logits differ by at most "
            f"{fold.largest_difference:.2g} from those of the trained network"
        )
    click.echo(f"Written to {output}. Next, also where neither PyTorch nor nnU-Net is:")
    click.echo(f"  nnUNetv2_ext predict-onnx -i IN -o OUT -m {output}")
    if web:
        click.echo("Or in a browser, at http://localhost:8000, which any server of static files can show:")
        click.echo(f"  python -m http.server -d {output} -b localhost")


def _write_stock(model: "TrainedModel", output: Path) -> None:
    from nnunetv2.utilities.dataset_name_id_conversion import convert_dataset_name_to_id

    from nnunetv2_ext.export.stock import export_stock

    run, archive = export_stock(model, output)
    click.echo(f"Written to {run.model_folder}, and zipped to {archive} ({_megabytes(archive)}). Next, where this package is:")
    click.echo(f"  nnUNetv2_install_pretrained_model_from_zip {archive}")
    dataset = convert_dataset_name_to_id(run.dataset)
    click.echo(
        f"  nnUNetv2_predict -i IN -o OUT -d {dataset} -c {run.configuration} -tr {run.trainer} -p {run.plans} "
        f"-f {' '.join(model.checkpoints)}"
    )


def _megabytes(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.2f} MB"
