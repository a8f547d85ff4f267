"""Each operation on a lazy feature map; whole blocks are compared in test_modes.py."""

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.recompute.lazy import LazyMap, convolve, materialize, weighted_sum
from nnunetv2_ext.architectures.recompute.norm_activation import norm_activation


def test_gradcheck_of_each_operation() -> None:
    torch.manual_seed(0)
    norm, activation = nn.BatchNorm2d(3).double(), nn.PReLU(3).double()
    down, up = nn.Conv2d(3, 2, 3, 2, 1).double(), nn.ConvTranspose2d(3, 2, 2, 2).double()
    linear = nn.Linear(3, 2).double()

    def operations(x: Tensor, slope: Tensor) -> list[Tensor]:
        lazy = norm_activation(x, norm, activation)
        assert isinstance(lazy, LazyMap)
        lazy = lazy._replace(tensors=(*lazy.tensors[:-1], slope))
        mixed = weighted_sum(lambda average: linear(average).softmax(1), list(linear.parameters()), [lazy, x])
        return [materialize(lazy), convolve(down, lazy), convolve(up, lazy), mixed]

    assert torch.autograd.gradcheck(operations, (torch.randn(2, 3, 4, 4).double().requires_grad_(), activation.weight))
