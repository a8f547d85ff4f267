"""A comparison as tables of text, and those in every format: terminal, Markdown, LaTeX, CSV, JSON."""

import csv
import io
import json
import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nnunetv2_ext.comparison.compare import FOREGROUND, Comparison, Difference, Estimate
from nnunetv2_ext.comparison.scores import Metric
from nnunetv2_ext.trainers.names import PREFIX

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass
class Table:
    """Text in rows; the first column is a name, the others are numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]
    best: list[set[int]]
    """by row, the columns in which it has the best value"""


def short(name: str) -> str:
    """A trainer's name without what nearly all of them begin with."""
    return name.removeprefix(PREFIX) if name.split(" ")[0] != PREFIX else name


def tables(comparison: Comparison) -> list[Table]:
    """One for each metric, and one of the costs."""
    return [*(_scores(comparison, metric) for metric in comparison.metrics), _costs(comparison)]


def caption(comparison: Comparison) -> str:
    """What was compared, and how to read the tables."""
    folds = ", ".join(comparison.folds)
    text = (
        f"{comparison.dataset}, {comparison.configuration}, {'fold' if len(comparison.folds) == 1 else 'folds'} {folds}, "
        f"{len(comparison.cases)} validation cases. Each score is the mean over all cases, foreground the mean of the classes."
    )
    if len(comparison.entries) > 1:
        text += (
            f" Difference: from {short(comparison.reference)} in the foreground, paired by case, with its 95 % BCa bootstrap "
            "interval; p: Wilcoxon's signed-rank test, after Holm."
        )
    return text


def _scores(comparison: Comparison, metric: Metric) -> Table:
    digits = metric.decimals
    several_folds, several_models = len(comparison.folds) > 1, len(comparison.entries) > 1
    several_repeats = any(entry.repeats > 1 for entry in comparison.entries)
    header = ["", *comparison.classes.values(), "foreground"]
    header += ["folds: mean ± sd"] * several_folds + ["repeats"] * several_repeats
    header += ["difference", "better : worse", "p"] if several_models else []
    rows = []
    for entry in comparison.entries:
        estimates = entry.estimates[metric.key]
        foreground = estimates[FOREGROUND]
        row = [short(entry.name), *(_number(estimates[name].pooled, digits) for name in (*comparison.classes, FOREGROUND))]
        if several_folds:
            row.append(_with_spread(foreground.fold_mean, foreground.fold_sd, digits))
        if several_repeats:
            row.append(f"{entry.repeats}: sd {_number(foreground.repeat_sd, digits + 1)}" if entry.repeats > 1 else "1")
        if several_models:
            row += _difference(foreground.difference, digits + 1)
        rows.append(row)
    title = metric.label + ("" if metric.higher_is_better else " (lower is better)")
    return Table(title, header, rows, _best(comparison, metric))


def _best(comparison: Comparison, metric: Metric) -> list[set[int]]:
    best: list[set[int]] = [set() for _ in comparison.entries]
    if len(best) > 1:
        for column, name in enumerate((*comparison.classes, FOREGROUND), 1):
            values = [entry.estimates[metric.key][name].pooled for entry in comparison.entries]
            known = [value for value in values if not math.isnan(value)]
            top = (max if metric.higher_is_better else min)(known, default=math.nan)
            for row, value in enumerate(values):
                best[row] |= {column} if value == top else set()
    return best


def _costs(comparison: Comparison) -> Table:
    places = {entry.cost.peak_memory_is for entry in comparison.entries} - {None}
    units: dict[str, tuple[str, float, int]] = {  # title, unit, decimals
        "parameters": ("parameters, M", 1e6, 2),
        "gflops": ("GFLOPs a patch", 1, 1),
        "step_bytes": ("training step, GiB, counted", 2**30, 2),
        "epochs": ("epochs", 1, 0),
        "seconds_per_epoch": ("seconds an epoch", 1, 1),
        "peak_memory_bytes": (f"peak GiB, {' or '.join(sorted(map(str, places)))}", 2**30, 2),
    }
    known = [name for name in units if any(getattr(entry.cost, name) is not None for entry in comparison.entries)]
    rows = []
    for entry in comparison.entries:
        values = [(getattr(entry.cost, name), *units[name][1:]) for name in known]
        cells = ["" if value is None else f"{value / unit:,.{decimals}f}" for value, unit, decimals in values]
        rows.append([short(entry.name), *cells])
    return Table("Cost", ["", *(units[name][0] for name in known)], rows, [set() for _ in rows])


def _number(value: float, decimals: int) -> str:
    return "" if math.isnan(value) else f"{value:.{decimals}f}"


def _with_spread(mean: float, spread: float, decimals: int) -> str:
    return f"{_number(mean, decimals)} ± {_number(spread, decimals)}" if not math.isnan(spread) else _number(mean, decimals)


def _difference(difference: Difference | None, decimals: int) -> list[str]:
    if difference is None:
        return ["reference", "", ""]
    if math.isnan(difference.mean):
        return ["undefined", "", ""]
    text = f"{difference.mean:+.{decimals}f}"
    if not math.isnan(difference.low):
        text += f" [{difference.low:+.{decimals}f}, {difference.high:+.{decimals}f}]"
    return [text, f"{difference.better} : {difference.worse}", p_value(difference.p_holm)]


def p_value(p: float) -> str:
    """A p-value as papers write it."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def as_rich(table: Table) -> "RichTable":
    """For the terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    rich = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(table.header):
        header = name.replace(": ", ":\n").replace(", ", ",\n")
        rich.add_column(Text(header), justify="right" if index else "left", overflow="fold", no_wrap=True)
    for row, best in zip(table.rows, table.best, strict=True):
        # intervals and spreads below their values, so that a terminal has room for them
        lines = [cell.replace(" [", "\n[").replace(" ±", "\n±") for cell in row]
        rich.add_row(*(Text(cell, "bold green" if index in best else "") for index, cell in enumerate(lines)))
    return rich


def as_markdown(comparison: Comparison) -> str:
    """Tables in GitHub's Markdown."""
    parts = []
    for table in tables(comparison):
        rows = [
            [f"**{cell}**" if index in best else cell for index, cell in enumerate(row)]
            for row, best in zip(table.rows, table.best, strict=True)
        ]
        lines = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *rows]
        text = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        parts.append(f"**{table.title}**\n\n{text}")
    notes = [f"- {note}" for note in comparison.notes]
    return "\n\n".join([*parts, caption(comparison), *(["\n".join(notes)] if notes else [])]) + "\n"


def as_latex(comparison: Comparison) -> str:
    r"""A ``table`` environment for each table; needs ``\usepackage{booktabs}``."""
    parts = []
    for table in tables(comparison):
        rows = [
            " & ".join(rf"\textbf{{{_escaped(cell)}}}" if index in best else _escaped(cell) for index, cell in enumerate(row))
            for row, best in zip(table.rows, table.best, strict=True)
        ]
        columns, header = "l" + "r" * (len(table.header) - 1), " & ".join(_escaped(cell) for cell in table.header)
        body = "".join(f"    {row} \\\\\n" for row in rows)
        parts.append(
            "\\begin{table}\n  \\centering\n"
            f"  \\caption{{{_escaped(table.title)}. {_escaped(caption(comparison))}}}\n"
            f"  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n    {header} \\\\\n    \\midrule\n{body}    \\bottomrule\n"
            "  \\end{tabular}\n\\end{table}\n"
        )
    return "\n".join(parts)


_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": "$<$",
    ">": "$>$",
}


def _escaped(text: str) -> str:
    text = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)  # a minus, not a hyphen


def as_csv(comparison: Comparison) -> str:
    """One line for every model, metric and class, with all numbers of the tables; what is undefined is empty."""
    stream = io.StringIO()
    lines = [
        {"model": entry.name, "metric": metric.key, "class": comparison.classes.get(name, name), **_flat(estimate)}
        for metric in comparison.metrics
        for entry in comparison.entries
        for name, estimate in entry.estimates[metric.key].items()
    ]
    writer = csv.DictWriter(stream, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value != value else value for key, value in line.items()} for line in lines)
    return stream.getvalue()


def _flat(estimate: Estimate) -> dict[str, Any]:
    names = ("mean", "low", "high", "p", "p_holm", "better", "worse", "left_out")
    difference = asdict(estimate.difference) if estimate.difference else {}
    return {
        "pooled": estimate.pooled,
        "fold_mean": estimate.fold_mean,
        "fold_sd": estimate.fold_sd,
        "repeat_sd": estimate.repeat_sd,
        **{f"difference_{name}": difference.get(name, "") for name in names},
    }


def as_json(comparison: Comparison) -> str:
    """Everything, with the scores of every case; what is undefined is null."""
    return json.dumps(_without_nan(comparison.values()), indent=2) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
