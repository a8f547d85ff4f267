from unittest.mock import Mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nnunetv2_ext.architectures.blocks import GHPA, ghpa
from nnunetv2_ext.errors import PlanError


def factors(block: GHPA, size: tuple[int, ...]) -> list[torch.Tensor]:
    """What each group's map multiplies with, at this size."""
    return [one(torch.ones(1, width, *size)) for one, width in zip(block.maps, block.widths, strict=False)]


@pytest.mark.parametrize(("size", "constant_axes"), [((5, 6), [None, 1, 0]), ((4, 5, 6), [None, 2, 1, 0])])
def test_group_zero_has_all_axes_and_each_next_group_drops_one_the_last_first(size, constant_axes):
    torch.manual_seed(0)
    block = GHPA(2 * (len(size) + 2), 4, dimensions=len(size))
    for one in block.maps:
        torch.nn.init.normal_(one.grid)
    for factor, constant in zip(factors(block, size), constant_axes, strict=True):
        for axis in range(len(size)):
            is_constant = torch.allclose(factor, factor.select(2 + axis, 0).unsqueeze(2 + axis))
            assert is_constant == (axis == constant)


@given(channels=st.integers(5, 40))
@settings(max_examples=20, deadline=None)
def test_groups_are_even_and_the_first_take_the_remainder(channels):
    widths = GHPA(channels, 4, dimensions=3).widths
    assert sum(widths) == channels
    assert max(widths) - min(widths) <= 1
    assert widths == sorted(widths, reverse=True)


def test_depth_one_follows_the_rule():
    torch.manual_seed(0)
    block = GHPA(10, 6, dimensions=3)
    for one in block.maps:
        torch.nn.init.normal_(one.grid)
    # with aligned corners a single position takes the first row of the parameter
    first_row = block.maps[0].grid[:, :, :1]
    expected = functional.interpolate(first_row, size=(1, 5, 6), mode="trilinear", align_corners=True)
    torch.testing.assert_close(factors(block, (1, 5, 6))[0], block.maps[0].refine(expected))
    assert block(torch.randn(2, 10, 1, 5, 6)).shape == (2, 6, 1, 5, 6)


def test_an_axis_with_kernel_one_keeps_its_slices_apart_but_for_the_maps():
    torch.manual_seed(0)
    block = GHPA(10, 6, dimensions=3, kernel_size=(1, 3, 3))
    x = torch.randn(1, 10, 4, 5, 6)
    changed = x.clone()
    changed[:, :, 2] += 1
    moved = (block(changed) - block(x)).abs().amax((0, 1, 3, 4))
    assert moved[2] > 0
    assert moved[[0, 1, 3]].max() == 0


def test_fewer_channels_than_groups_are_refused():
    with pytest.raises(PlanError, match="got 4 channels, needs at least 5"):
        GHPA(4, 4, dimensions=3)


@pytest.mark.parametrize("without_backward", [torch.no_grad, torch.inference_mode])
def test_a_prediction_is_that_of_the_parameters_as_they_are(without_backward):
    torch.manual_seed(0)
    block, x, other = GHPA(10, 6, dimensions=3).eval(), torch.randn(2, 10, 4, 5, 6), torch.randn(1, 10, 3, 5, 6)

    def predict(some: torch.Tensor) -> torch.Tensor:
        with without_backward():
            return block(some)

    for some in (x, x, other, x):  # the maps are remembered
        torch.testing.assert_close(predict(some), block(some).detach())
    before = predict(x)
    for parameter in block.parameters():
        parameter.data += 0.1
    after = predict(x)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, block(x).detach())
    block(x).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_maps_are_made_once_for_a_prediction_and_in_each_step_of_training(monkeypatch):
    made = Mock(side_effect=ghpa.convolve_interpolated)
    monkeypatch.setattr(ghpa, "convolve_interpolated", made)
    block, x = GHPA(10, 6, dimensions=3, recompute="full"), torch.randn(2, 10, 4, 5, 6)

    def calls(training: bool) -> int:
        block.train(training)
        made.reset_mock()
        for _ in range(2):
            with torch.set_grad_enabled(training):
                block(x)
        return made.call_count

    maps = len(block.maps)
    assert [calls(False), calls(True), calls(False)] == [maps, 2 * maps, 0]


def test_maps_with_channels_last():
    block, x = GHPA(8, 4, dimensions=2).eval(), torch.randn(1, 8, 60, 60)
    expected = block(x)
    torch.testing.assert_close(block.to(memory_format=torch.channels_last)(x), expected)
