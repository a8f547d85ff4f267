"""``nnUNetv2_ext path``"""

import click

from nnunetv2_ext.paths import SHIM


@click.command(epilog='Example: export nnUNet_extTrainer="$(nnUNetv2_ext path)"')
def path() -> None:
    """Print the folder that nnUNet_extTrainer has to name."""
    click.echo(SHIM)
