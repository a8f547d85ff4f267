"""What holds for every block, in 2D and 3D, on odd and anisotropic sizes."""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks import EAB, GAB, GHPA, MBTFE, ChannelLayerNorm, ConvBlock, Gate, SpatialAttention
from nnunetv2_ext.architectures.operations import operations


class Block(NamedTuple):
    build: Callable[[int], nn.Module]
    inputs: Callable[[tuple[int, ...]], Any]
    """the shapes of the arguments for a spatial size; a list for an argument that is a list"""
    outputs: Callable[[tuple[int, ...]], list[tuple[int, ...]]]


def coarser(size: tuple[int, ...], factor: int) -> tuple[int, ...]:
    return tuple(factor * s for s in size)


BLOCKS = {
    "ConvBlock": Block(
        lambda n: ConvBlock(
            operations(n).convolution, 3, 4, stride=2, norm=operations(n).instance_norm, nonlinearity=nn.LeakyReLU
        ),
        lambda size: [(2, 3, *size)],
        lambda size: [(2, 4, *(-(-s // 2) for s in size))],
    ),
    "ChannelLayerNorm": Block(lambda _: ChannelLayerNorm(5), lambda size: [(2, 5, *size)], lambda size: [(2, 5, *size)]),
    "MBTFE": Block(lambda n: MBTFE(3, 4, dimensions=n), lambda size: [(2, 3, *size)], lambda size: [(2, 4, *size)]),
    "SpatialAttention": Block(
        lambda n: SpatialAttention(dimensions=n), lambda size: [(2, 3, *size)], lambda size: [(2, 3, *size)]
    ),
    "Gate": Block(lambda n: Gate(3, dimensions=n), lambda size: [(2, 3, *size), (2, 3, *size)], lambda size: [(2, 3, *size)]),
    "EAB": Block(
        lambda n: EAB((2, 3, 4), dimensions=n, block_arguments={"norm": operations(n).instance_norm}),
        lambda size: [[(2, 2, *coarser(size, 4)), (2, 3, *coarser(size, 2)), (2, 4, *size)]],
        lambda size: [(2, 2, *coarser(size, 4)), (2, 3, *coarser(size, 2)), (2, 4, *size)],
    ),
    "GHPA": Block(lambda n: GHPA(7, 6, dimensions=n), lambda size: [(2, 7, *size)], lambda size: [(2, 6, *size)]),
    "GAB": Block(
        lambda n: GAB(3, 6, dimensions=n),
        lambda size: [(2, 3, *size), (2, 6, *coarser(size, 2)), (2, 1, *coarser(size, 2))],
        lambda size: [(2, 6, *coarser(size, 2))],
    ),
}
SIZES = [(4, 4), (3, 5), (1, 6), (3, 3, 3), (2, 5, 3), (1, 4, 2)]

every_block = pytest.mark.parametrize("name", BLOCKS)
both_dimensions = pytest.mark.parametrize("size", [(3, 4), (2, 3, 4)])


def make(name: str, size: tuple[int, ...]) -> tuple[nn.Module, list]:
    torch.manual_seed(0)
    block = BLOCKS[name].build(len(size)).double()

    def random(shape: Any) -> Any:
        return [random(s) for s in shape] if isinstance(shape, list) else torch.randn(shape, dtype=torch.float64)

    return block, random(BLOCKS[name].inputs(size))


def flat(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


@every_block
@pytest.mark.parametrize("size", SIZES)
def test_shapes(name, size):
    block, inputs = make(name, size)
    assert [tuple(output.shape) for output in flat(block(*inputs))] == BLOCKS[name].outputs(size)


@every_block
@both_dimensions
def test_every_parameter_gets_a_gradient(name, size):
    block, inputs = make(name, size)
    sum((output * torch.randn_like(output)).sum() for output in flat(block(*inputs))).backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    assert all(parameter.grad.abs().max() > 0 for parameter in block.parameters())


@every_block
@both_dimensions
def test_gradients_equal_finite_differences(name, size):
    block, inputs = make(name, size)
    if name == "MBTFE":
        block.eval()  # its gradient in training mode is compared with the published block's
    leaves = [tensor.requires_grad_() for argument in inputs for tensor in flat(argument)]

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        remaining = iter(leaves)
        arguments = [[next(remaining) for _ in a] if isinstance(a, list) else next(remaining) for a in inputs]
        return tuple(flat(block(*arguments)))

    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)


@every_block
@both_dimensions
def test_state_dict_has_one_key_per_tensor_and_survives_pickle(name, size):
    block, inputs = make(name, size)
    places = [tensor.data_ptr() for tensor in block.state_dict(keep_vars=True).values() if tensor.dim()]
    assert len(places) == len(set(places))
    block.eval()
    for ours, expected in zip(flat(pickle.loads(pickle.dumps(block))(*inputs)), flat(block(*inputs)), strict=True):
        assert torch.equal(ours, expected)


@every_block
@pytest.mark.parametrize("size", [(3, 4), pytest.param((2, 3, 4), marks=pytest.mark.slow)])
def test_export_and_one_graph(name, size):
    torch.compiler.reset()
    block, inputs = make(name, size)
    block.eval()
    expected = flat(block(*inputs))
    exported = torch.export.export(block, tuple(inputs)).module()
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    for variant in (exported, compiled):
        for ours, reference in zip(flat(variant(*inputs)), expected, strict=True):
            torch.testing.assert_close(ours, reference)
