"""Writes the README's table of presets from the code: python scripts/readme_table.py [--check]

With --check nothing is written, and the exit status is 1 if the table in the README is not what the code gives.
"""

import sys
from pathlib import Path

from nnunetv2_ext.presets import OURS
from nnunetv2_ext.profiling.case import case_of_patch
from nnunetv2_ext.profiling.count import Counts, count
from nnunetv2_ext.trainers.names import PREFIX

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- presets -->\n", "<!-- /presets -->\n"
PATCH = (128, 128, 128)
EXPLANATION = (
    "GFLOPs of a forward at batch 1 (two per multiply-add, convolutions and matrix products), and the peak of a training step "
    "at batch 2 relative to the stock network's, as nnU-Net trains on a GPU (float16 autocast; not compiled, without weights). "
    "Written by `scripts/readme_table.py`."
)


def table() -> str:
    """The table, with the costs of every preset at one patch, beside the stock network's."""
    case = case_of_patch(PATCH, channels=1, classes=2, batch_size=2)
    stock = count(PREFIX, case)
    lines = [
        "| preset | what it is | paper | parameters | GFLOPs | memory |",
        "|---|---|---|---:|---:|---:|",
        _row("*stock nnU-Net*", "PlainConvUNet", "", stock, stock),
    ]
    lines += [_row(f"`{row.name}`", row.summary, row.paper, count(PREFIX + row.name, case), stock) for row in OURS]
    stages = case.configuration.network_arch_init_kwargs["n_stages"]
    plan = f"a patch of {'x'.join(map(str, PATCH))} ({stages} stages, 1 channel, 2 classes)"
    lines += ["", f"Counted on the plan that nnU-Net's rule gives {plan}: {EXPLANATION}"]
    return "\n".join(lines) + "\n"


def _row(name: str, summary: str, paper: str, counts: Counts, stock: Counts) -> str:
    memory = f"{counts.peak_bytes / stock.peak_bytes:.2f}x"
    return f"| {name} | {summary} | {paper} | {counts.parameters / 1e6:.2f} M | {counts.gflops:,.1f} | {memory} |"


def main(arguments: list[str]) -> int:
    text = README.read_text()
    before, rest = text.split(START)
    wanted = before + START + table() + END + rest.split(END)[1]
    if arguments == ["--check"]:
        if wanted != text:
            print("The README's table of presets is out of date: run python scripts/readme_table.py", file=sys.stderr)
        return int(wanted != text)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
