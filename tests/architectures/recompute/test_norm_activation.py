"""What a lazy norm is computed from, and when a norm is not lazy; gradients are compared in test_modes.py."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nnunetv2_ext.architectures.recompute import producers
from nnunetv2_ext.architectures.recompute.lazy import LazyMap, materialize
from nnunetv2_ext.architectures.recompute.norm_activation import norm_activation, statistics
from nnunetv2_ext.memory.autocast import cuda_autocast_rules
from nnunetv2_ext.memory.gpu_paths import gpu_paths


class Written(TorchDispatchMode):
    """Notes the types of all maps that operations give."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if out.numel() > 100:
            self.dtypes.add(out.dtype)
        return out


@pytest.mark.parametrize("instance", [True, False])
@pytest.mark.parametrize("smallest", [2**20, 1], ids=["whole", "chunks"])
@pytest.mark.parametrize("paths", [nullcontext, gpu_paths], ids=["cpu", "gpu"])
def test_statistics(instance, smallest, paths, monkeypatch) -> None:
    monkeypatch.setitem(producers.MIN_CHUNK_BYTES, "cpu", smallest)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64) * 3 + 100
    variance, mean = torch.var_mean(x, dim=(2, 3) if instance else (0, 2, 3), correction=0)
    with paths():
        torch.testing.assert_close(statistics(x, instance=instance), (mean, variance))


@pytest.mark.parametrize("paths", [nullcontext, gpu_paths], ids=["cpu", "gpu"])
def test_statistics_of_half_precision_are_in_single(paths) -> None:
    x = torch.full((1, 2, 64, 64), 300.0, dtype=torch.float16)
    x[..., ::2] = 301.0
    with paths():
        mean, variance = statistics(x, instance=False)
    assert mean.dtype == variance.dtype == torch.float32
    assert mean.tolist() == [300.5, 300.5]
    assert variance.tolist() == [0.25, 0.25]


def test_a_gpu_normalises_in_half_precision_without_a_copy_in_single() -> None:
    x = torch.randn(2, 4, 8, 8, 8).half()
    with gpu_paths(), cuda_autocast_rules(), torch.autocast("cpu", torch.float16):
        lazy = norm_activation(x, nn.BatchNorm3d(4), nn.PReLU(4))
        with Written() as written:
            assert materialize(lazy).dtype == torch.float16
    assert written.dtypes == {torch.float16}


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 4),
        nn.BatchNorm2d(4).eval(),
        nn.InstanceNorm2d(4, track_running_stats=True),
    ],
    ids=["unknown", "frozen", "with running statistics"],
)
def test_norms_of_another_kind_are_called(norm) -> None:
    x = torch.randn(2, 4, 3, 5)
    y = norm_activation(x, norm, nn.ReLU())
    assert not isinstance(y, LazyMap)
    torch.testing.assert_close(y, torch.relu(norm(x)))


def test_an_activation_that_is_no_slope_below_zero_is_called() -> None:
    x = torch.randn(2, 4, 3, 5)
    assert not isinstance(norm_activation(x, nn.BatchNorm2d(4), nn.GELU()), LazyMap)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.2, inplace=True), nn.PReLU(), nn.PReLU(4)])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, affine=True)])
def test_the_lazy_map_is_the_same(norm, activation) -> None:
    x = torch.randn(2, 4, 3, 5)
    y = norm_activation(x, norm, activation)
    assert isinstance(y, LazyMap)
    torch.testing.assert_close(materialize(y), activation(norm(x)), rtol=1e-5, atol=1e-5)
