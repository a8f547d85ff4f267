"""``nnUNetv2_ext env``"""

import os
import shlex

import click

from nnunetv2_ext.paths import HOST_FOLDERS, TRAINER_FOLDERS, trainer_folders


@click.command(epilog='Example: eval "$(nnUNetv2_ext env)"')
def env() -> None:
    """Print the command with which a shell lets nnU-Net find the trainers.

    Folders that nnUNet_extTrainer already names stay in it. nnU-Net's own variables that are not set are named on stderr.
    """
    click.echo(f"export {TRAINER_FOLDERS}={shlex.quote(trainer_folders())}")
    for name, needed_for in HOST_FOLDERS.items():
        if not os.environ.get(name):
            click.echo(f"nnUNetv2_ext: {name} is not set; nnU-Net needs it for {needed_for}", err=True)
