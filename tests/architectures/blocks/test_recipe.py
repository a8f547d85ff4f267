"""The recipes of maps, and the pieces they are made in."""

from functools import partial

import pytest
import torch

from nnunetv2_ext.architectures.blocks import recipe
from nnunetv2_ext.architectures.blocks.recipe import AsItIs, Scaled, cut, pieces


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 70])
@pytest.mark.parametrize("smallest", [1, 2**20])
def test_pieces_are_the_whole_axis_in_order(length, smallest, monkeypatch) -> None:
    monkeypatch.setattr(recipe, "SMALLEST_PIECE", smallest)
    x = torch.arange(length).view(1, 1, -1, 1)
    parts = [cut(x, piece) for piece in pieces(x)]
    assert torch.equal(torch.cat(parts, 2), x)
    assert 1 <= len(parts) <= (recipe.PIECES["cpu"] if smallest == 1 else 1)


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_gradients_of_a_scaled_map(needed, monkeypatch) -> None:
    monkeypatch.setattr(recipe, "SMALLEST_PIECE", 1)
    x, factor, gradient = torch.randn(2, 3, 5, 4), torch.rand(2, 1, 5, 4), torch.randn(2, 3, 5, 4)
    found = Scaled().gradients((x, factor), needed, partial(cut, gradient), None)
    expected = (gradient * factor, (gradient * x).sum(1, keepdim=True))
    for g, need, value in zip(found, needed, expected, strict=True):
        if need:
            torch.testing.assert_close(g, value)
        else:
            assert g is None


def test_the_gradient_lands_in_its_place_where_it_may() -> None:
    x, gradient = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    assert AsItIs().gradients((x,), [True], partial(cut, gradient), gradient)[0] is gradient
    assert AsItIs().gradients((x,), [False], partial(cut, gradient), gradient) == [None]
    half = gradient.half()
    (found,) = AsItIs().gradients((x,), [True], partial(cut, half), half)
    torch.testing.assert_close(found, half.float())
