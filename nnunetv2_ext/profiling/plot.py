"""Cost against cost, one point per trainer."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_ext.memory.step import PRECISIONS, Precision
from nnunetv2_ext.profiling.profile import STOCK, Profile


def plot_profiles(profiles: Sequence[Profile], title: str, file: Path, precision: Precision = "autocast") -> None:
    """Draws the operations of a forward against the peak memory of a training step, the stock trainer in another colour."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    points = [(row.counts.peak_bytes / 2**30, row.counts.gflops, row.trainer) for row in profiles if row.counts]
    most = max((gflops for _, gflops, _ in points), default=0.0)
    # Names point inwards, and of neighbours in memory one is above its point and one below, so that they stay apart.
    for index, (gib, gflops, trainer) in enumerate(sorted(points)):
        left, above = gflops > most / 2, index % 2
        axes.scatter(gflops, gib, color="black" if trainer == STOCK else "tab:blue")
        axes.annotate(
            trainer.removeprefix(STOCK) or "stock",
            (gflops, gib),
            (-5 if left else 5, 5 if above else -5),
            textcoords="offset points",
            horizontalalignment="right" if left else "left",
            verticalalignment="bottom" if above else "top",
        )
    memory = f"GiB at the peak of a training step, {PRECISIONS[precision]}, counted"
    axes.set(xlabel="GFLOPs of a forward, batch 1", ylabel=memory, title=title)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150, format="png")
