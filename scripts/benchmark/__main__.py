"""``python -m scripts.benchmark``"""

import sys
from contextlib import nullcontext
from pathlib import Path

import click
import torch

from nnunetv2_ext.profiling.timing import fastest_kernels
from scripts.benchmark.record import ROOT, Record
from scripts.benchmark.sections import MEASURED, SECTIONS, Settings
from scripts.benchmark.steps import recorded_failure
from scripts.benchmark.tables import markdown, sections, write_tables

PAGE = ROOT / "docs/cost.md"


@click.command(epilog="Example: python -m scripts.benchmark --sections modes,light --rounds 5")
@click.option(
    "--sections",
    "names",
    default=",".join(MEASURED),
    show_default=True,
    help="What is done, in this order: these, compiler, and traffic.",
)
@click.option(
    "--size", type=click.Choice(["full", "tiny"]), default="full", show_default=True, help="Tiny: to see that it runs."
)
@click.option("--rounds", default=5, show_default=True, help="Times that each is timed, after one that isn't.")
@click.option("--threads", default=1, show_default=True, help="Threads, on a CPU.")
@click.option("--minutes", default=1e9, help="Begin nothing new after so long.")
@click.option("--backend", help="Of torch.compile: inductor on a GPU by default; on a CPU nothing is compiled by default.")
@click.option("--output", type=click.Path(path_type=Path), help="docs/cost-gpu.jsonl or docs/cost-cpu.jsonl by default.")
@click.option("--docs", is_flag=True, help="Write the tables of docs/cost.md, too, after each section.")
def main(
    names: str, size: str, rounds: int, threads: int, minutes: float, backend: str | None, output: Path | None, docs: bool
) -> None:
    """Measure what the package costs, on the GPU where there is one, else on the CPU.

    What can't be measured gets a line that says why; the exit code is then 1.
    """
    unknown = [name for name in names.split(",") if name not in SECTIONS]
    if unknown:
        raise click.UsageError(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    if backend is None:
        backend = "inductor" if device.type == "cuda" else ""
    output = output or ROOT / f"docs/cost-{'gpu' if device.type == 'cuda' else 'cpu'}.jsonl"
    record = Record(output, names.split(","), device, minutes)
    settings = Settings(device, size == "tiny", rounds, backend)
    with fastest_kernels() if device.type == "cuda" else nullcontext():
        for name in names.split(","):
            if record.time_is_up:
                click.echo(f"{name}: not begun, because the time was up")
                continue
            with recorded_failure(record, name, network=""):
                SECTIONS[name](record, settings)
            if docs:
                write_tables(record.file, PAGE)
    for section, rows in sections(record.file).items():
        click.echo(f"\n{section}\n{markdown(rows)}")
    sys.exit(bool(record.problems))


if __name__ == "__main__":
    main()
