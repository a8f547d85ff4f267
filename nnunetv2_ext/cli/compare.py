"""``nnUNetv2_ext compare``"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunetv2_ext.cli.multi_value_options import MultiValueCommand
from nnunetv2_ext.cli.output_file import OutputFile

if TYPE_CHECKING:
    from rich.console import Console

    from nnunetv2_ext.comparison.compare import Comparison
    from nnunetv2_ext.comparison.reading import Model
    from nnunetv2_ext.comparison.scores import Metric

OUTPUT = OutputFile()
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
STOCK = "nnUNetTrainer"
WIDTH_OF_A_FILE = 160


@click.command(
    cls=MultiValueCommand,
    epilog="Example: nnUNetv2_ext compare -d 4 -c 3d_fullres -tr nnUNetTrainer nnUNetTrainerEGE --html comparison.html",
)
@click.option("-d", "--dataset", required=True, help="Id or name of the dataset.")
@click.option("-c", "--configuration", default="3d_fullres", show_default=True, help="Configuration of the plans.")
@click.option("-tr", "--trainers", multiple=True, help="One or more; all that have runs if left out.")
@click.option("-p", "--plans", multiple=True, default=("nnUNetPlans",), show_default=True, help="Name of the plans.")
@click.option("-f", "--folds", multiple=True, help="One or more; all that have runs if left out.")
@click.option(
    "--reference", help=f"What the others are compared with. Default: {STOCK} if it is there, else the first trainer."
)
@click.option("--results", multiple=True, type=FOLDER, help="Results folders in place of $nnUNet_results.")
@click.option("--hd95", is_flag=True, help="Also the 95th percentile of the surface distance, in mm (needs MONAI).")
@click.option(
    "--nsd", type=click.FloatRange(min=0, min_open=True), help="Also the surface Dice at a tolerance in mm (needs MONAI)."
)
@click.option("--count", is_flag=True, help="Also count parameters, operations and memory, as 'profile' does.")
@click.option("--allow", multiple=True, help="Compare although these differ: data, plans, splits, incomplete, fold_all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with everything, cases too, instead of tables.")
@click.option("--csv", "csv_file", type=OUTPUT, help="Write the numbers to a file.")
@click.option("--markdown", "markdown_file", type=OUTPUT, help="Write the tables to a file.")
@click.option("--latex", "latex_file", type=OUTPUT, help="Write the tables to a file.")
@click.option("--html", "html_file", type=OUTPUT, help="Write a page with tables, curves and pictures to a file.")
def compare(
    dataset: str,
    configuration: str,
    trainers: tuple[str, ...],
    plans: tuple[str, ...],
    folds: tuple[str, ...],
    reference: str | None,
    results: tuple[Path, ...],
    hd95: bool,
    nsd: float | None,
    count: bool,
    allow: tuple[str, ...],
    as_json: bool,
    csv_file: Path | None,
    markdown_file: Path | None,
    latex_file: Path | None,
    html_file: Path | None,
) -> None:
    """Compare trained runs, case by case, with statistics.

    Reads what nnU-Net wrote in the validation after the training, of any trainer: Dice per class, per fold and over all cases,
    and the difference of every trainer from the reference, paired by case, with its 95 % bootstrap interval and p-value.
    Refuses what is no fair comparison (other data, plans or splits, folds that are missing) unless it is allowed.
    """
    from rich.console import Console

    from nnunetv2_ext.comparison import tables
    from nnunetv2_ext.comparison.checks import ALLOWANCES, check
    from nnunetv2_ext.comparison.reading import read_models
    from nnunetv2_ext.datasets import any_dataset_name
    from nnunetv2_ext.runs import repeat_root, repeats_in

    if wrong := [name for name in allow if name not in ALLOWANCES]:
        known = "; ".join(f"{name}: {what}" for name, what in ALLOWANCES.items())
        raise click.BadParameter(f"{wrong[0]!r} is none of these. {known}", param_hint="--allow")
    folders = list(results) or [_results_folder()]
    name = any_dataset_name(dataset, [repeat_root(folder, repeat) for folder in folders for repeat in repeats_in(folder)])
    models, _, notes = check(read_models(folders, name, configuration, trainers, plans), folds, allow)
    progress = Console(stderr=True)
    comparison = _compare(models, reference, _metrics(name, models[0], hd95, nsd), progress)
    comparison.notes[:0] = notes
    if count:
        with progress.status("Counting"):
            _count(comparison)
    if as_json:
        click.echo(tables.as_json(comparison), nl=False)
    else:
        _print(comparison)
    for file, write in ((csv_file, tables.as_csv), (markdown_file, tables.as_markdown), (latex_file, tables.as_latex)):
        if file:
            file.write_text(write(comparison), encoding="utf-8")
    if html_file:
        from nnunetv2_ext.comparison.page import write_page

        with progress.status("Drawing"):
            write_page(comparison, models, html_file)


def _results_folder() -> Path:
    from nnunetv2_ext.datasets import host_folder

    return host_folder("nnUNet_results")


def _metrics(dataset: str, model: "Model", hd95: bool, nsd: float | None) -> "list[Metric]":
    from nnunetv2_ext.comparison.scores import DICE

    if not hd95 and nsd is None:
        return [DICE]

    from nnunetv2_ext.comparison.surface import surface_metrics
    from nnunetv2_ext.datasets import host_folder

    truth = host_folder("nnUNet_preprocessed") / dataset / "gt_segmentations"
    return [DICE, *surface_metrics(truth, model.dataset, hd95=hd95, tolerance=nsd)]


def _compare(models: "list[Model]", reference: str | None, metrics: "list[Metric]", console: "Console") -> "Comparison":
    from rich.progress import track

    from nnunetv2_ext.comparison.compare import compare

    if reference is None:
        reference = next((model.name for model in models if model.trainer == STOCK), models[0].name)

    def show(work: Any) -> Any:
        return track(work, "Comparing", console=console, transient=True)

    return compare(models, metrics, reference=reference, track=show)


def _count(comparison: "Comparison") -> None:
    from nnunetv2_ext.comparison.cost import add_counted_costs
    from nnunetv2_ext.errors import DatasetError, PlanError

    for plans in {entry.plans for entry in comparison.entries}:
        costs = {entry.trainer: entry.cost for entry in comparison.entries if entry.plans == plans}
        try:
            comparison.notes += add_counted_costs(costs, comparison.dataset, comparison.configuration, plans)
        except (DatasetError, PlanError) as error:  # the scores don't depend on it
            comparison.notes.append(f"The costs with {plans} could not be counted: {error}")


def _print(comparison: "Comparison") -> None:
    from rich.console import Console

    from nnunetv2_ext.comparison.tables import as_rich, caption, tables

    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no edge
        console.width = WIDTH_OF_A_FILE
    for table in tables(comparison):
        console.print(as_rich(table))
    for text in (caption(comparison), *comparison.notes):
        console.print(text, markup=False)
