import torch
from torch.nn import functional

from nnunetv2_ext.architectures.blocks.grouped_layer_norm import grouped_layer_norm

WIDTHS = (3, 1, 4)


def test_equals_a_layer_norm_per_group() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, sum(WIDTHS), dtype=torch.float64)
    weight, bias = torch.randn(2, sum(WIDTHS), dtype=torch.float64)
    parts = zip(*(tensor.split(WIDTHS, -1) for tensor in (x, weight, bias)), strict=True)
    expected = [functional.layer_norm(x, w.shape, w, b, 1e-6) for x, w, b in parts]
    torch.testing.assert_close(grouped_layer_norm(x, WIDTHS, weight, bias, 1e-6), torch.cat(expected, -1))


def test_gradients() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(*shape, 8, dtype=torch.float64, requires_grad=True) for shape in ((2, 3), (), ())]
    assert torch.autograd.gradcheck(lambda x, w, b: grouped_layer_norm(x, WIDTHS, w, b, 1e-2), tensors)


def test_an_input_in_another_layout() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(8, 5, 6).movedim(0, -1).requires_grad_(), torch.ones(8), torch.zeros(8)
    grouped_layer_norm(x, WIDTHS, weight, bias, 1e-6).movedim(-1, 0).square().sum().backward()
    assert x.grad.shape == x.shape
