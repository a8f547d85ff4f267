import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from nnunetv2_ext.architectures.mca_net.cross_axis_attention import CrossAxisAttention, of_length_one
from nnunetv2_ext.errors import PlanError

SHAPES = [(6, 8), (5, 7), (1, 3), (30, 2), (4, 6, 8), (3, 5, 7), (1, 6, 4), (2, 25, 3)]


def attention(dimensions: int, channels: int = 4, **arguments: object) -> CrossAxisAttention:
    torch.manual_seed(0)
    return CrossAxisAttention(channels, dimensions=dimensions, **{"heads": 2, **arguments})


def strips_of(block: CrossAxisAttention, x: Tensor) -> list[Tensor]:
    """Layer norm, then per axis the projected sum of the strips, as 3D convolutions of a kernel long in one axis."""
    normalised = functional.layer_norm(x.movedim(1, -1), x.shape[1:2], block.norm.weight, block.norm.bias, 1e-5).movedim(-1, 1)
    sums = []
    for axis in range(3):
        total = torch.zeros_like(x)
        for length, strip in zip((7, 11, 21), block.strips[axis].convolutions, strict=True):
            padding = [length // 2 if a == axis else 0 for a in range(3)]
            total += functional.conv3d(normalised, strip.weight, strip.bias, padding=padding, groups=x.shape[1])
        sums.append(torch.einsum("oi,nixyz->noxyz", block.project.weight.flatten(1), total) + bias_of(block))
    return sums


def bias_of(block: CrossAxisAttention) -> Tensor:
    return block.project.bias.reshape(1, -1, 1, 1, 1)


# the letters of x, y, z with the token axis doubled: which positions attend to which, and over what they are compared
IN_WORDS = [
    # queries, keys (the next axis), logits, result
    (0, 1, "ncxyz,ncayz->nxa", "nxa,ncayz->ncxyz", (1, 3, 4)),
    (1, 2, "ncxyz,ncxaz->nya", "nya,ncxaz->ncxyz", (1, 2, 4)),
    (2, 0, "ncxyz,ncxya->nza", "nza,ncxya->ncxyz", (1, 2, 3)),
]


def test_in_3d_each_axis_asks_the_next_one() -> None:
    block, x = attention(3).double(), torch.randn(2, 4, 3, 5, 4, dtype=torch.float64)
    strips = strips_of(block, x)
    expected = x.clone()
    for asking, answering, compare, collect, features in IN_WORDS:
        heads = []
        for queries, values in zip(strips[asking].chunk(2, 1), strips[answering].chunk(2, 1), strict=True):
            queries = queries / queries.square().sum(features, keepdim=True).sqrt()
            keys = values / values.square().sum(features, keepdim=True).sqrt()
            weights = torch.einsum(compare, queries, keys).exp()
            heads.append(torch.einsum(collect, weights / weights.sum(-1, keepdim=True), values) + queries)
        found = torch.cat(heads, 1)
        expected += torch.einsum("oi,nixyz->noxyz", block.project.weight.flatten(1), found) + bias_of(block)
    torch.testing.assert_close(block(x), expected)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([2, 3]), st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 1000))
def test_turning_the_axes_turns_the_output(dimensions: int, sizes: list[int], seed: int) -> None:
    """No axis is special: with the axes moved on by one, and their strips with them, the output is moved on by one."""
    block, turned = attention(dimensions).double(), attention(dimensions).double()
    turned.load_state_dict(block.state_dict())
    for axis, strips in enumerate(block.strips):
        moved = turned.strips[(axis + 1) % dimensions]
        for ours, theirs in zip(moved.convolutions, strips.convolutions, strict=True):
            ours.weight.data.copy_(theirs.weight.flatten(1).reshape(ours.weight.shape))
            ours.bias.data.copy_(theirs.bias)
    torch.manual_seed(seed)
    x = torch.randn(2, 4, *sizes[:dimensions], dtype=torch.float64)
    torch.testing.assert_close(turned(x.movedim(-1, 2)), block(x).movedim(-1, 2))


@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_keeps_the_shape(size: tuple[int, ...]) -> None:
    x = torch.randn(2, 4, *size)
    assert attention(len(size))(x).shape == x.shape


def test_a_kernel_of_one_has_one_strip_of_one() -> None:
    block = attention(3, kernel_size=(1, 3, 3))
    lengths = [[max(strip.kernel_size) for strip in strips.convolutions] for strips in block.strips]
    assert lengths == [[1], [7, 11, 21], [7, 11, 21]]
    assert block(torch.randn(1, 4, 2, 6, 6)).shape == (1, 4, 2, 6, 6)


def test_heads_that_do_not_divide_the_channels() -> None:
    with pytest.raises(PlanError, match="got 6 channels for 4 heads, need a multiple"):
        CrossAxisAttention(6, dimensions=2, heads=4)


@pytest.mark.parametrize("size", [(3, 2), (2, 3, 2)], ids=str)
def test_gradients_are_right(size: tuple[int, ...]) -> None:
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention(len(size), 2).double(), x)


@pytest.mark.parametrize("size", [(23, 22), (22, 5, 23)], ids=str)
def test_every_parameter_gets_a_gradient(size: tuple[int, ...]) -> None:
    block = attention(len(size))
    block(torch.randn(2, 4, *size)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in block.parameters())


def test_one_key_per_tensor_and_pickle() -> None:
    block, x = attention(3), torch.randn(2, 4, 3, 4, 5)
    pointers = [tensor.data_ptr() for tensor in block.state_dict(keep_vars=True).values()]
    assert len(pointers) == len(set(pointers))
    torch.testing.assert_close(pickle.loads(pickle.dumps(block))(x), block(x))


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3])
def test_exports_and_compiles(dimensions: int) -> None:
    block, x = attention(dimensions), torch.randn(2, 4, *(6, 5, 4)[:dimensions])
    exported = torch.export.export(block, (x,))
    torch.export.save(exported, io.BytesIO())
    torch.testing.assert_close(exported.module()(x), block(x))
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="eager")(x), block(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_holds_the_length_of_many_features(dtype: torch.dtype) -> None:
    """Their squares sum to far more than float16 holds."""
    lengths = of_length_one(torch.full((2, 1000), 200.0, dtype=dtype)).double().norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(2, dtype=torch.float64), rtol=1e-2, atol=0)


def test_autocast_changes_little() -> None:
    block, x = attention(2), torch.randn(1, 4, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        half = block(x)
    torch.testing.assert_close(half.float(), block(x), rtol=0.05, atol=0.05)


def test_double_stays_double() -> None:
    assert attention(2).double()(torch.randn(1, 4, 3, 3, dtype=torch.float64)).dtype == torch.float64
