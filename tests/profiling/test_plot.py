"""Cost against cost."""

import pytest
from matplotlib.axes import Axes

from nnunetv2_ext.profiling.count import Counts
from nnunetv2_ext.profiling.plot import plot_profiles
from nnunetv2_ext.profiling.profile import STOCK, Profile

COUNTS = Counts(10, 1.0, 2.0, 4.0, 100, 50, batch_size=2)


def test_one_named_point_per_trainer_that_was_counted(tmp_path, monkeypatch) -> None:
    points, names = [], []
    monkeypatch.setattr(Axes, "scatter", lambda _self, x, y, color: points.append((x, y, color)))
    monkeypatch.setattr(Axes, "annotate", lambda _self, text, *_arguments, **_options: names.append(text))
    counted = [COUNTS._replace(gflops=4.0, peak_bytes=2**30), COUNTS._replace(gflops=8.0, peak_bytes=2**31), None]
    rows = [
        Profile(trainer, counts, None) for trainer, counts in zip((STOCK, f"{STOCK}EGE", f"{STOCK}GAB"), counted, strict=True)
    ]
    plot_profiles(rows, "costs", tmp_path / "costs.png")
    assert points == [(4.0, 1.0, "black"), (8.0, 2.0, "tab:blue")]
    assert names == ["stock", "EGE"]
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("rows", [[], [Profile(STOCK, None, None, problem="failed")]])
def test_nothing_to_draw_is_an_empty_picture(tmp_path, rows) -> None:
    plot_profiles(rows, "costs", tmp_path / "costs.png")
    assert (tmp_path / "costs.png").stat().st_size > 0
