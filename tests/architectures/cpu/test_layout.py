"""The layout of a map can be chosen, and is where nothing else chooses it."""

import pytest
import torch
from torch import Tensor

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.layout import channels_first, channels_last


def test_a_compiler_a_gpu_and_mixed_precision_get_the_plain_operations() -> None:
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(is_eager_cpu(x))
        return x + 1

    x = torch.zeros(1, 1, 2, 2)
    function(x), function(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        function(x)
    assert seen == [True, False, False]
    compiled = torch.compile(lambda x: x + 1 if is_eager_cpu(x) else x - 1, backend="eager")
    assert float(compiled(x).sum()) == -4


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_layout_changes_nothing_else_and_the_gradient_comes_back_in_the_other(dimensions) -> None:
    x = torch.randn(2, 3, *(4, 5, 6)[:dimensions], requires_grad=True)
    last = channels_last(x)
    assert last.stride()[1] == 1
    first = channels_first(last)
    assert first.is_contiguous()
    assert torch.equal(last, x)
    assert torch.equal(first, x)
    gradients = torch.autograd.grad(first, (x, last), torch.ones_like(first))
    assert gradients[0].is_contiguous()
    assert gradients[1].stride()[1] == 1
