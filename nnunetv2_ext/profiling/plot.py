"""Cost against cost, one point per trainer."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nnunetv2_ext.profiling.profile import Profile
from nnunetv2_ext.trainers.names import PREFIX


def plot_profiles(profiles: Sequence[Profile], title: str, file: Path) -> None:
    """Draws the operations of a forward against the peak memory of a training step, the stock trainer in another colour."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    for index, profile in enumerate(profiles):
        if profile.counts:
            point = (profile.counts.gflops, profile.counts.peak_bytes / 2**30)
            axes.scatter(*point, color="black" if index == 0 else "tab:blue")
            axes.annotate(profile.trainer.removeprefix(PREFIX) or "stock", point, (4, 4), textcoords="offset points")
    axes.set(xlabel="GFLOPs of a forward, batch 1", ylabel="GiB at the peak of a training step, float32, counted", title=title)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150, format="png")
