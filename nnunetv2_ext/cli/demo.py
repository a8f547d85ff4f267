"""``nnUNetv2_ext demo``."""

from pathlib import Path

import click

from nnunetv2_ext.demo import trainer as trainers


@click.command(epilog="Example: nnUNetv2_ext demo --trainer nnUNetTrainerMBTFEAdan")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Parent of the run's own folder.",
)
@click.option("--device", type=click.Choice(["cuda", "cpu", "mps"]), help="Default: cuda if there is a GPU, else cpu.")
@click.option(
    "--trainer",
    default=trainers.DEFAULT,
    show_default=True,
    metavar="NAME",
    help=f"Ours or any that nnU-Net finds. Ours gets {trainers.LENGTH} if its name has no length.",
)
@click.option("--verbose", is_flag=True, help="Show all that nnU-Net prints.")
def demo(folder: Path, device: str | None, trainer: str, verbose: bool) -> None:
    """Run the whole pipeline on a small built-in dataset.

    Cuts labelled crops out of the MNI152 brain template, then plans, trains a network, predicts crops it has not seen and
    evaluates them beside an intensity threshold, all with nnU-Net's own commands, in a folder of its own. Needs no download.
    """
    import torch
    from rich.console import Console

    from nnunetv2_ext.datasets import check_writable
    from nnunetv2_ext.demo.pipeline import Pipeline

    check_writable(folder)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    Pipeline(folder, device, trainer, Console(), verbose=verbose).run()
