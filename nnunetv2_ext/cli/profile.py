"""``nnUNetv2_ext profile``"""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand
from nnunetv2_ext.cli.output_file import OutputFile
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.names import PREFIX

if TYPE_CHECKING:
    from nnunetv2_ext.memory.step import Precision
    from nnunetv2_ext.profiling.case import Case
    from nnunetv2_ext.profiling.profile import Profile

OUTPUT = OutputFile()


@click.command(cls=MultiValueCommand, epilog="Example: nnUNetv2_ext profile -d 4 -c 3d_fullres -tr nnUNetTrainerEGE")
@click.option("-d", "--dataset", help="Id or name of a dataset that has plans.")
@click.option("-c", "--configuration", default="3d_fullres", show_default=True, help="Configuration of the plans.")
@click.option("-p", "--plans", default="nnUNetPlans", show_default=True, help="Name of the plans.")
@click.option("--patch", multiple=True, type=click.IntRange(min=1), help="A patch in place of a dataset: --patch 64 64 64")
@click.option("--channels", default=1, show_default=True, type=click.IntRange(min=1), help="Input channels, with --patch.")
@click.option("--classes", default=2, show_default=True, type=click.IntRange(min=1), help="Classes, with --patch.")
@click.option("--batch-size", default=2, show_default=True, type=click.IntRange(min=1), help="Batch size, with --patch.")
@click.option("-tr", "--trainers", multiple=True, help="Names of trainers, ours or any that nnU-Net finds.")
@click.option("--all", "everything", is_flag=True, help="The trainers of all presets.")
@click.option(
    "--precision",
    default="autocast",
    show_default=True,
    type=click.Choice(["autocast", "float32"]),
    help="Memory of a step in float16 autocast, as nnU-Net trains on a GPU, or in float32, as it does on a CPU.",
)
@click.option("--no-time", is_flag=True, help="Count, but don't run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--csv", "csv_file", type=OUTPUT, help="Write the table to a file.")
@click.option("--plot", "plot_file", type=OUTPUT, help="Write a scatter plot to a PNG.")
@click.pass_context
def profile(
    context: click.Context,
    dataset: str | None,
    configuration: str,
    plans: str,
    patch: tuple[int, ...],
    channels: int,
    classes: int,
    batch_size: int,
    trainers: tuple[str, ...],
    everything: bool,
    precision: "Precision",
    no_time: bool,
    as_json: bool,
    csv_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure what trainers cost: parameters, operations, memory, time.

    The stock nnUNetTrainer is always in the table. All but the time is counted, so it holds without a GPU; memory is that of a
    training step without torch.compile. Exit code 1 if a network couldn't be measured; its row says why.
    """
    if bool(dataset) == bool(patch):
        raise click.UsageError("name a dataset with -d or a patch with --patch, one of the two")
    if bool(trainers) == everything:
        raise click.UsageError("name trainers with -tr or all presets with --all, one of the two")

    from nnunetv2_ext.profiling.case import case_of_dataset, case_of_patch
    from nnunetv2_ext.trainers.resolve import any_trainer_class

    for name in trainers:
        any_trainer_class(name)

    if dataset:
        case = case_of_dataset(dataset, configuration, plans)
    else:
        case = case_of_patch(patch, channels=channels, classes=classes, batch_size=batch_size)
    names = [PREFIX + name for name in PRESETS] if everything else list(trainers)
    rows = _measure(case, names, timed=not no_time, precision=precision)
    report = _report(case, rows, precision)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print_table(report)
    if csv_file:
        _write_csv(report, csv_file)
    if plot_file:
        from nnunetv2_ext.profiling.plot import plot_profiles

        plot_profiles(rows, case.name, plot_file, precision)
    context.exit(any(row.problem for row in rows))


def _measure(case: "Case", trainers: list[str], *, timed: bool, precision: "Precision") -> "list[Profile]":
    from rich.console import Console
    from rich.progress import track

    from nnunetv2_ext.profiling.profile import STOCK, profiles

    total = len({STOCK, *trainers})
    measured = profiles(trainers, case, timed=timed, precision=precision)
    return list(track(measured, "Measuring", total=total, console=Console(stderr=True), transient=True))


def _report(case: "Case", rows: "list[Profile]", precision: "Precision") -> dict[str, Any]:
    import torch

    from nnunetv2_ext.profiling.profile import ratios
    from nnunetv2_ext.profiling.timing import device

    return {
        "case": case.name,
        "input_shape": case.input_shape,
        "classes": case.output_channels,
        "precision": precision,
        "device": torch.cuda.get_device_name() if device().type == "cuda" else "cpu",
        "torch": torch.__version__,
        "trainers": [{**row.values(), "ratios": ratios(row, rows[0])} for row in rows],
    }


def _write_csv(report: dict[str, Any], file: Path) -> None:
    rows = [
        {name: value for name, value in row.items() if name != "ratios"}
        | {f"{name}_ratio": value for name, value in row["ratios"].items()}
        for row in report["trainers"]
    ]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _print_table(report: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from nnunetv2_ext.memory.step import PRECISIONS

    rows, batch = report["trainers"], report["input_shape"][0]
    # title, name, unit, decimals
    columns: list[tuple[str, str, float, int]] = [
        ("Params\nM", "parameters", 1e6, 2),
        ("GMACs\nbatch 1", "gmacs", 1, 1),
        ("GFLOPs\nbatch 1", "gflops", 1, 1),
        (f"GFLOPs\nbatch {batch}", "batch_gflops", 1, 1),
        ("Peak\nGiB", "peak_bytes", 2**30, 2),
        ("Kept\nGiB", "kept_bytes", 2**30, 2),
        ("Step\ns", "seconds", 1, 3),
        ("On GPU\nGiB", "gpu_bytes", 2**30, 2),
    ]
    columns = [column for column in columns if any(row[column[1]] is not None for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(f"{PREFIX}...", no_wrap=True)
    for column in columns:
        table.add_column(column[0], justify="right")
    for row in rows:
        cells = []
        for _, name, unit, decimals in columns:
            ratio = f"\n{row['ratios'][name]:.2f}x" if row["ratios"][name] and row is not rows[0] else ""
            cells.append("" if row[name] is None else f"{row[name] / unit:,.{decimals}f}{ratio}")
        table.add_row(Text(row["trainer"].removeprefix(PREFIX) or "(stock)"), *cells)
    click.echo(f"{report['case']}, input {' x '.join(map(str, report['input_shape']))}")
    Console(highlight=False).print(table)
    step = f"a training step of batch {batch} in {PRECISIONS[report['precision']]}"
    click.echo(f"Peak and Kept: {step}, not compiled; counted, without weights, input and optimizer.")
    if any(row["seconds"] is not None for row in rows) and report["device"] == "cpu":
        click.echo("Timed on a CPU at batch 1: good for comparing these rows, says little of a GPU.")
    for row in rows:
        if row["batch_size"] not in (None, batch):
            click.echo(f"{row['trainer']}: counted at its own batch size, {row['batch_size']}.")
        if row["note"] or row["problem"]:
            click.echo(f"{row['trainer']}: {row['note'] or row['problem']}")
