"""Pooling, alone and behind a group norm, is torch's, the first of equal values included."""

import pytest
import torch
from torch.nn import functional

from nnunetv2_ext.architectures.cpu import pooling
from nnunetv2_ext.architectures.cpu.pooling import max_pool, pooled_group_norm


@pytest.mark.parametrize(("size", "stride"), [((4, 6), (2, 2)), ((7, 5), (2, 1)), ((5, 7, 6), (2, 3, 1))])
def test_pooling_is_that_of_torch_with_and_without_gradient(size, stride) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, requires_grad=True)
    pool = functional.max_pool2d if len(size) == 2 else functional.max_pool3d
    expected = pool(x, stride)
    assert torch.equal(max_pool(x.detach(), stride), expected)
    got = max_pool(x, stride)
    assert torch.equal(got, expected)
    gradient = torch.randn_like(got)
    torch.testing.assert_close(torch.autograd.grad(got, x, gradient), torch.autograd.grad(expected, x, gradient))


@pytest.mark.parametrize("smallest", [0, 2**18])
@pytest.mark.parametrize(("size", "stride"), [((4, 6), (2, 2)), ((7, 5), (2, 1)), ((5, 7, 6), (2, 3, 1))])
@pytest.mark.parametrize("last", [False, True])
def test_a_pooled_group_norm(size, stride, last, smallest, monkeypatch) -> None:
    monkeypatch.setattr(pooling, "SMALLEST_MAP", smallest)
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size, dtype=torch.float64).round(decimals=0)  # many are equal
    x = x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x
    x.requires_grad_()
    weight = torch.tensor([1.5, -0.7, 0.0, 0.3, -2.0, 1e-9], dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    pool = functional.max_pool2d if len(size) == 2 else functional.max_pool3d
    expected = pool(functional.group_norm(x, 3, weight, bias, 1e-3), stride)
    got = pooled_group_norm(x, weight, bias, 3, 1e-3, stride)
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    got, expected = (torch.autograd.grad(output, (x, weight, bias), gradient) for output in (got, expected))
    torch.testing.assert_close(got, expected)
