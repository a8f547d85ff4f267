import torch
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.grouped_layer_norm import grouped_layer_norm


def test_equals_a_layer_norm_per_group() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    weight, bias = torch.randn(2, 3, 5, dtype=torch.float64)
    groups = zip(x.movedim(2, -1).unbind(1), weight, bias, strict=True)
    expected = [functional.layer_norm(x, w.shape, w, b, 1e-6) for x, w, b in groups]
    torch.testing.assert_close(grouped_layer_norm(x, weight, bias, 1e-6), torch.stack(expected, 1).movedim(-1, 2))


def test_gradients() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 2, 4, 3), (2, 4), (2, 4))]
    assert torch.autograd.gradcheck(lambda x, w, b: grouped_layer_norm(x, w, b, 1e-2), tensors)


def test_an_input_in_another_layout() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, 6).movedim(-1, 2).requires_grad_()
    weight, bias = torch.ones(3, 6), torch.zeros(3, 6)
    got = grouped_layer_norm(x, weight, bias, 1e-6)
    torch.testing.assert_close(got, grouped_layer_norm(x.contiguous(), weight, bias, 1e-6))
    got.square().sum().backward()
    assert x.grad.shape == x.shape
