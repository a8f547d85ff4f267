"""When the fast paths are not taken."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from nnunetv2_ext.architectures.blocks import GHPA, MBTFE
from nnunetv2_ext.architectures.cpu import interpolation


def test_a_forward_of_fake_tensors_leaves_nothing_behind() -> None:
    interpolation._weights.cache_clear(), interpolation._shifted_weights.cache_clear()
    block, x = GHPA(4, 4, dimensions=2).eval(), torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            block(mode.from_tensor(x))
        assert type(block(x)) is torch.Tensor


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", [GHPA, MBTFE])
def test_a_traced_block_gives_the_same(block) -> None:
    block, x = block(4, 4, dimensions=2, recompute="full").eval(), torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.trace(block, x)(x), block(x))
