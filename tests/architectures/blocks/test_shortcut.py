from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks import EAB, GAB, GHPA, MBTFE
from nnunetv2_ext.architectures.blocks.shortcut import Shortcut


def maps(*sizes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(2, *size) for size in sizes]


BLOCKS: dict[str, tuple[Callable[..., nn.Module], list[tuple[int, ...]], slice]] = {
    # the block, the sizes of what it takes, and which of that it refines
    "MBTFE": (lambda **shortcut: MBTFE(4, 4, dimensions=2, **shortcut), [(4, 5, 6)], slice(0, 1)),
    "GHPA": (lambda **shortcut: GHPA(6, 6, dimensions=3, **shortcut), [(6, 3, 4, 5)], slice(0, 1)),
    "GAB": (lambda **shortcut: GAB(6, 8, dimensions=2, **shortcut), [(6, 3, 4), (8, 6, 8), (1, 6, 8)], slice(1, 2)),
    "EAB": (
        lambda **shortcut: EAB((4, 5, 6), dimensions=2, **shortcut),
        [(4, 8, 8), (5, 4, 4), (6, 2, 2)],
        slice(0, 3),
    ),
}
every_block = pytest.mark.parametrize("name", BLOCKS)


def run(name: str, block: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    outputs = block(inputs) if name == "EAB" else block(*inputs)
    return outputs if name == "EAB" else [outputs]


@every_block
def test_before_the_training_it_gives_what_it_was_given(name: str) -> None:
    build, sizes, refined = BLOCKS[name]
    inputs = maps(*sizes)
    for output, before in zip(run(name, build(shortcut=True), inputs), inputs[refined], strict=True):
        assert torch.equal(output, before)


@every_block
def test_adds_the_block_times_the_scale(name: str) -> None:
    build, sizes, refined = BLOCKS[name]
    torch.manual_seed(0)
    block, plain, inputs = build(shortcut=True), build(), maps(*sizes)
    plain.load_state_dict({key: value for key, value in block.state_dict().items() if not key.endswith("shortcut.scale")})
    for module in block.modules():
        if isinstance(module, Shortcut):
            nn.init.constant_(module.scale, -0.5)
    expected = run(name, plain, inputs)
    for output, before, after in zip(run(name, block, inputs), inputs[refined], expected, strict=True):
        torch.testing.assert_close(output, before - 0.5 * after)


@every_block
def test_the_scale_learns_from_the_first_step_and_the_block_from_the_second(name: str) -> None:
    build, sizes, _ = BLOCKS[name]
    torch.manual_seed(0)
    block, inputs = build(shortcut=True), maps(*sizes)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    learned = []
    for _ in range(2):
        optimizer.zero_grad()
        sum(output.square().mean() for output in run(name, block, inputs)).backward()
        optimizer.step()
        learned.append({key.endswith("shortcut.scale") for key, value in block.named_parameters() if value.grad.any()})
    assert learned == [{True}, {True, False}]


def test_keeps_half_precision() -> None:
    before = torch.ones(2, 3, dtype=torch.bfloat16)
    assert Shortcut()(before, before).dtype == torch.bfloat16
