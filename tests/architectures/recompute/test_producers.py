"""Producers of lazy feature maps, and the chunks they compute."""

from functools import partial

import pytest
import torch

from nnunetv2_ext.architectures.recompute import producers
from nnunetv2_ext.architectures.recompute.producers import Identity, Scaled, chunks, take


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 70])
@pytest.mark.parametrize("smallest", [1, 2**20])
def test_chunks_cover_the_axis_in_order(length, smallest, monkeypatch) -> None:
    monkeypatch.setitem(producers.MIN_CHUNK_BYTES, "cpu", smallest)
    x = torch.arange(length).view(1, 1, -1, 1)
    parts = [take(x, chunk) for chunk in chunks(x)]
    assert torch.equal(torch.cat(parts, 2), x)
    assert 1 <= len(parts) <= (producers.MAX_CHUNKS["cpu"] if smallest == 1 else 1)


@pytest.mark.parametrize("needs_grad", [(True, True), (True, False), (False, True)])
def test_gradients_of_a_scaled_map(needs_grad, monkeypatch) -> None:
    monkeypatch.setitem(producers.MIN_CHUNK_BYTES, "cpu", 1)
    x, factor, grad_output = torch.randn(2, 3, 5, 4), torch.rand(2, 1, 5, 4), torch.randn(2, 3, 5, 4)
    grads = Scaled().backward((x, factor), needs_grad, partial(take, grad_output), None)
    expected = (grad_output * factor, (grad_output * x).sum(1, keepdim=True))
    for g, need, value in zip(grads, needs_grad, expected, strict=True):
        if need:
            torch.testing.assert_close(g, value)
        else:
            assert g is None


def test_memory_of_the_gradient_is_reused_if_it_fits() -> None:
    x, grad_output = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    assert Identity().backward((x,), [True], partial(take, grad_output), grad_output)[0] is grad_output
    assert Identity().backward((x,), [False], partial(take, grad_output), grad_output) == [None]
    half = grad_output.half()
    (grad_x,) = Identity().backward((x,), [True], partial(take, half), half)
    torch.testing.assert_close(grad_x, half.float())
