"""``nnUNetv2_ext doctor``"""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nnunetv2_ext.installation import Check

COLOURS = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@click.command(epilog="Example: nnUNetv2_ext doctor --json")
@click.option("-d", "--dataset", help="Id or name of a dataset whose files are checked in place of the installation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def doctor(context: click.Context, dataset: str | None, as_json: bool) -> None:
    """Check the installation, and say how to fix what is wrong.

    With -d, check a dataset instead: each image and label of its raw data, its plans and preprocessed data, its checkpoints.
    Exit code 1 if something is wrong; a warning is not.
    """
    from rich.console import Console

    with Console(stderr=True).status("Looking at the installation" if dataset is None else "Looking at the dataset"):
        rows = _rows(dataset)
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        _print_table(rows)
    context.exit(any(row.state == "wrong" for row in rows))


def _rows(dataset: str | None) -> "list[Check]":
    if dataset is not None:
        from nnunetv2_ext.dataset_checks.all_checks import dataset_checks

        return list(dataset_checks(dataset))
    from nnunetv2_ext.installation import checks

    return list(checks())


def _print_table(rows: "list[Check]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("Check", "State", "Found"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(Text(row.name), Text(row.state, COLOURS[row.state]), Text(row.found))
    Console(highlight=False).print(table)
    to_do = [row for row in rows if row.state != "ok"]
    for row in to_do:
        if row.cure:
            click.echo(f"{row.name}: {row.cure}")
    # In one block and not in the table, so that it can be copied whole.
    commands = [row.command for row in to_do if row.command]
    if commands:
        click.echo("\nPaste this into your shell, and the exports into its profile; other folders do as well:\n")
        click.echo("\n".join(commands))
