"""Tables of the docs, from the lines of a record."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.benchmark.networks import STOCK

Row = dict[str, Any]


def sections(record: Path) -> dict[str, list[Row]]:
    """The rows of each section; a line that was cut off is left out."""
    measured: dict[str, dict[tuple[Any, ...], tuple[Row, dict[str, list[Any]]]]] = {}
    for line in record.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "section" in entry:
            rows = measured.setdefault(entry["section"], {})
            _, figures = rows.setdefault(tuple(entry["row"].items()), (entry["row"], {}))
            figures.setdefault(entry["figure"], []).append(entry["value"])
    return {section: _with_ratios(rows.values()) for section, rows in measured.items()}


def markdown(rows: list[Row]) -> str:
    """A table with what the rows call their values in the header."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    header = [name.replace("_gib", " [GiB]").replace("_", " ") for name in names]
    lines = [header, ["---" if any(isinstance(row.get(name), str) for row in rows) else "---:" for name in names]]
    lines += [[_cell(row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_tables(record: Path, page: Path) -> None:
    """Replaces the tables of a page between the markers ``<!-- RECORD: SECTION -->`` and ``<!-- /RECORD: SECTION -->``.

    A section without markers in the page is left out.
    """
    text = page.read_text()
    for section, rows in sections(record).items():
        start, end = f"<!-- {record.stem}: {section} -->\n", f"<!-- /{record.stem}: {section} -->"
        if start in text and end in text:
            text = f"{text.split(start)[0]}{start}{markdown(rows)}\n{end}{text.split(end)[1]}"
    page.write_text(text)


def _with_ratios(measured: Iterable[tuple[Row, dict[str, list[Any]]]]) -> list[Row]:
    """Of repeated seconds their median, its ratio to the stock network's in the same circumstances, and their range."""
    rows = [(key, figures) for key, figures in measured]
    medians = {tuple(key.items()): statistics.median(figures["seconds"]) for key, figures in rows if "seconds" in figures}
    return [_row(key, figures, medians) for key, figures in rows]


def _row(key: Row, figures: Mapping[str, list[Any]], medians: Mapping[tuple[Any, ...], float]) -> Row:
    row = {**key, **{name: values[-1] for name, values in figures.items() if name != "seconds"}}
    if "seconds" in figures:
        stock = medians.get(tuple({**key, "network": STOCK}.items()))
        row["seconds"] = medians[tuple(key.items())]
        row |= {"ratio": row["seconds"] / stock} if stock else {}
        row |= {"fastest": min(figures["seconds"]), "slowest": max(figures["seconds"])}
    if "problem" in row:
        row["problem"] = row.pop("problem")  # the last column
    return row


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return value
