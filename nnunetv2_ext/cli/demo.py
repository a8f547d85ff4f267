"""``nnUNetv2_ext demo``."""

from pathlib import Path

import click


@click.command(epilog="Example: nnUNetv2_ext demo --device cpu")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where the run's own folder is made.",
)
@click.option("--device", type=click.Choice(["cuda", "cpu", "mps"]), help="Default: cuda if there is a GPU, else cpu.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: 10 on a CPU, 40 on a GPU; of 25 iterations each.")
def demo(folder: Path, device: str | None, epochs: int | None) -> None:
    """Try the whole way from data to predictions on a small dataset.

    Cuts labelled crops out of the MNI152 brain template, then plans, trains the EGE network, predicts crops it has not seen
    and evaluates them, all with nnU-Net's own commands, in a folder of its own. Needs no download and takes some minutes.
    """
    import torch
    from rich.console import Console

    from nnunetv2_ext.demo.pipeline import Pipeline

    Pipeline(folder, device or ("cuda" if torch.cuda.is_available() else "cpu"), epochs, Console()).run()
