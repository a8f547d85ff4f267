"""The command ``nnUNetv2_ext``."""

import click

from nnunetv2_ext.cli.demo import demo


@click.group()
def main() -> None:
    """Architectures and training recipes for stock nnU-Net v2."""


main.add_command(demo)
