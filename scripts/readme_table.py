"""Writes the tables of presets from the code: python scripts/readme_table.py [--check]

The README gets the networks, docs/cost.md these and all their ablations. With --check nothing is written, and the exit status
is 1 if a table is not what the code gives.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from nnunetv2_ext.presets import OURS
from nnunetv2_ext.presets.preset import Preset
from nnunetv2_ext.profiling.case import case_of_patch
from nnunetv2_ext.profiling.count import Counts, count
from nnunetv2_ext.trainers.names import PREFIX

ROOT = Path(__file__).parent.parent
PATCH = (128, 128, 128)
STOCK = Preset("stock", "nnU-Net's PlainConvUNet", network="stock")
EXPLANATION = (
    "GFLOPs are those of a forward at batch 1 (two per multiply-add, convolutions and matrix products); memory is the peak of "
    "a training step at batch 2 as nnU-Net trains on a GPU (float16 autocast; not compiled, without weights), and relative to "
    "the stock network's. Counted by `scripts/readme_table.py`."
)


def counted() -> dict[str, Counts]:
    """The costs of stock and of every preset of ours, by name, at one patch."""
    case = case_of_patch(PATCH, channels=1, classes=2, batch_size=2)
    return {row.name: count(PREFIX + row.name.removeprefix("stock"), case) for row in (STOCK, *OURS)}


def networks(counts: Mapping[str, Counts]) -> str:
    """The networks themselves, which are the first of their presets."""
    first = {row.architecture: row for row in reversed(OURS)}
    return _table([STOCK, *(row for row in OURS if first[row.architecture] is row)], counts)


def presets(counts: Mapping[str, Counts]) -> str:
    """All presets."""
    return _table([STOCK, *OURS], counts)


TABLES: dict[str, tuple[Path, Callable[[Mapping[str, Counts]], str]]] = {
    "networks": (ROOT / "README.md", networks),
    "presets": (ROOT / "docs/cost.md", presets),
}


def _table(rows: list[Preset], counts: Mapping[str, Counts]) -> str:
    lines = ["| preset | what it is | parameters | GFLOPs | memory |", "|---|---|---:|---:|---:|"]
    lines += map(partial(_row, counts=counts), rows)
    patch = "x".join(map(str, PATCH))
    return "\n".join([*lines, "", f"On nnU-Net's plan for a patch of {patch}, 1 channel, 2 classes. {EXPLANATION}"]) + "\n"


def _row(row: Preset, counts: Mapping[str, Counts]) -> str:
    ours, stock = counts[row.name], counts["stock"]
    memory = f"{ours.peak_bytes / 2**30:.1f} GiB, {ours.peak_bytes / stock.peak_bytes:.2f}x"
    name = "*stock nnU-Net*" if row is STOCK else f"`{row.name}`"
    return f"| {name} | {row.summary} | {ours.parameters / 1e6:.2f} M | {ours.gflops:,.1f} | {memory} |"


def main(arguments: list[str]) -> int:
    counts, outdated = counted(), 0
    for marker, (page, table) in TABLES.items():
        text, start, end = page.read_text(), f"<!-- {marker} -->\n", f"<!-- /{marker} -->\n"
        wanted = text.split(start)[0] + start + table(counts) + end + text.split(end)[1]
        if arguments != ["--check"]:
            page.write_text(wanted)
        elif wanted != text:
            print(f"{page.name}: the table of presets is out of date: run python scripts/readme_table.py", file=sys.stderr)
            outdated = 1
    return outdated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
