"""Writes the tables of presets from the code: python scripts/readme_table.py [--check | --time]

The README gets the networks, docs/cost.md these and all their ablations, docs/choose.md MONAI's. With --check nothing is
written, and the exit status is 1 if a table is not what the code gives. With --time the seconds of a prediction on this CPU
are measured first, and kept in docs/cpu-seconds.json.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

from nnunetv2_ext.presets import MONAI, OURS
from nnunetv2_ext.presets.preset import Preset
from nnunetv2_ext.profiling.case import case_of_patch
from nnunetv2_ext.profiling.count import Counts, count
from nnunetv2_ext.trainers.names import PREFIX
from nnunetv2_ext.trainers.run_card import cpu_name

ROOT = Path(__file__).parent.parent
SECONDS = ROOT / "docs/cpu-seconds.json"
PATCH = (128, 128, 128)
TIMED_PATCH = (64, 64, 64)
STOCK = Preset("stock", "nnU-Net's PlainConvUNet", network="stock")
EXPLANATION = (
    "GFLOPs are those of a forward at batch 1 (two per multiply-add, convolutions and matrix products); memory is the peak of "
    "a training step at batch 2 as nnU-Net trains on a GPU (float16 autocast; not compiled, without weights), and relative to "
    "the stock network's. Counted by `scripts/readme_table.py`."
)


def counted(rows: Iterable[Preset] = (STOCK, *OURS, *MONAI)) -> dict[str, Counts]:
    """The costs of presets at one patch, by name."""
    case = case_of_patch(PATCH, channels=1, classes=2, batch_size=2)
    return {row.name: count(PREFIX + row.name.removeprefix("stock"), case) for row in rows}


def networks(counts: Mapping[str, Counts]) -> str:
    """The networks themselves, which are the first of their presets, and their seconds on a CPU."""
    measured: dict[str, Any] = json.loads(SECONDS.read_text())
    lines, explanation = _lines([STOCK, *_networks()], counts), f"{EXPLANATION} CPU: seconds of a forward of one"
    lines[0] += " CPU |"
    lines[1] += "---:|"
    for index, row in enumerate((STOCK, *_networks()), 2):
        lines[index] += f" {measured['seconds'][row.name]:.2f} s |"
    patch = "x".join(map(str, TIMED_PATCH))
    return _with_explanation(lines, f"{explanation} {patch} patch in float32 on {measured['machine']}.")


def presets(counts: Mapping[str, Counts]) -> str:
    """All presets with networks of this package."""
    return _with_explanation(_lines([STOCK, *OURS], counts), EXPLANATION)


def monai(counts: Mapping[str, Counts]) -> str:
    """All presets with MONAI's networks."""
    return _with_explanation(_lines([STOCK, *MONAI], counts), EXPLANATION)


TABLES: dict[str, tuple[Path, Callable[[Mapping[str, Counts]], str]]] = {
    "networks": (ROOT / "README.md", networks),
    "presets": (ROOT / "docs/cost.md", presets),
    "monai": (ROOT / "docs/choose.md", monai),
}


def _networks() -> list[Preset]:
    first = {row.architecture: row for row in reversed(OURS)}
    return [row for row in OURS if first[row.architecture] is row]


def _lines(rows: list[Preset], counts: Mapping[str, Counts]) -> list[str]:
    lines = ["| preset | what it is | parameters | GFLOPs | memory |", "|---|---|---:|---:|---:|"]
    return [*lines, *map(partial(line, counts=counts), rows)]


def _with_explanation(lines: list[str], explanation: str) -> str:
    patch = "x".join(map(str, PATCH))
    return "\n".join([*lines, "", f"On nnU-Net's plan for a patch of {patch}, 1 channel, 2 classes. {explanation}"]) + "\n"


def line(row: Preset, counts: Mapping[str, Counts]) -> str:
    """A preset in the tables."""
    ours, stock = counts[row.name], counts["stock"]
    memory = f"{ours.peak_bytes / 2**30:.1f} GiB, {ours.peak_bytes / stock.peak_bytes:.2f}x"
    name = "*stock nnU-Net*" if row is STOCK else f"`{row.name}`"
    return f"| {name} | {row.summary} | {ours.parameters / 1e6:.2f} M | {ours.gflops:,.1f} | {memory} |"


def measure() -> None:
    """Times a prediction of every network on all cores of the CPU: the median over a few seconds."""
    case, patch = case_of_patch(TIMED_PATCH, channels=1, classes=2, batch_size=1), torch.randn(1, 1, *TIMED_PATCH)
    seconds = {}
    for row in (STOCK, *_networks()):
        network = case.network(PREFIX + row.name.removeprefix("stock")).eval()
        network.decoder.deep_supervision = False  # type: ignore[union-attr]
        with torch.inference_mode():
            network(patch)
            timer = Timer("network(patch)", globals={"network": network, "patch": patch}, num_threads=torch.get_num_threads())
            seconds[row.name] = timer.blocked_autorange(min_run_time=5).median
    SECONDS.write_text(json.dumps({"machine": _machine(), "seconds": seconds}, indent=2) + "\n")


def _machine() -> str:
    return f"{torch.get_num_threads()} cores of {cpu_name()}, torch {torch.__version__.split('+')[0]}"


def main(arguments: list[str]) -> int:
    if arguments == ["--time"]:
        measure()
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
