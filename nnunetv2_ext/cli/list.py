"""``nnUNetv2_ext list``"""

import json

import click

from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.names import LOSSES, OPTIMIZERS, PREFIX

LENGTHS = ("_<N>epochs", "_<N>epochs_<M>iters")


@click.command("list", epilog="Example: nnUNetv2_ext list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_presets(as_json: bool) -> None:
    """Show all presets and how trainer names are made."""
    if as_json:
        rows = [
            {"preset": name, "trainer": PREFIX + name, "summary": row.summary, "paper": row.paper, "network": row.network}
            for name, row in PRESETS.items()
        ]
        suffixes = {"optimizer": list(OPTIMIZERS), "loss": list(LOSSES), "length": list(LENGTHS)}
        click.echo(json.dumps({"presets": rows, "suffixes": suffixes}, indent=2))
    else:
        _print_table()


def _print_table() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Preset", no_wrap=True)
    table.add_column("Trainer", no_wrap=True)
    table.add_column("What it is")
    table.add_column("Paper")
    for name, row in PRESETS.items():
        table.add_row(name, PREFIX + name, row.summary, row.paper)
    console = Console(highlight=False)
    console.print(table)
    example = f"{PREFIX}{next(iter(PRESETS))}{next(iter(OPTIMIZERS))}{next(iter(LOSSES))}_50epochs"
    lines = (
        f"A trainer's name is {PREFIX}<Preset>, then, each if wanted, in this order:",
        f"  an optimizer  {' or '.join(OPTIMIZERS)}",
        f"  a loss        {' or '.join(LOSSES)}",
        f"  a length      {' or '.join(LENGTHS)}",
        f"for instance {example}. Without them the preset's own recipe is in force.",
    )
    console.print("\n".join(lines), markup=False)
