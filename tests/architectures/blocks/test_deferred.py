"""Each operation on a deferred map; whole blocks are compared in test_recompute.py."""

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.deferred import Deferred, convolve, made, weighted_sum
from nnunetv2_ext.architectures.blocks.normalised import activated


def test_gradcheck_of_each_operation() -> None:
    torch.manual_seed(0)
    norm, activation = nn.BatchNorm2d(3).double(), nn.PReLU(3).double()
    down, up = nn.Conv2d(3, 2, 3, 2, 1).double(), nn.ConvTranspose2d(3, 2, 2, 2).double()
    linear = nn.Linear(3, 2).double()

    def operations(x: Tensor, slope: Tensor) -> list[Tensor]:
        deferred = activated(x, norm, activation)
        assert isinstance(deferred, Deferred)
        deferred = deferred._replace(tensors=(*deferred.tensors[:-1], slope))
        mixed = weighted_sum(lambda average: linear(average).softmax(1), list(linear.parameters()), [deferred, x])
        return [made(deferred), convolve(down, deferred), convolve(up, deferred), mixed]

    assert torch.autograd.gradcheck(operations, (torch.randn(2, 3, 4, 4).double().requires_grad_(), activation.weight))
