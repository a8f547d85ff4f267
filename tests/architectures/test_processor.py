"""What a processor does in another way gives what the plain operations give."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures import processor
from nnunetv2_ext.architectures.processor import (
    channels_first,
    channels_last,
    convolve_interpolated,
    interpolate_by_products,
    max_pool,
    runs_plainly_on_a_processor,
)
from tests.plans import CONFIGURATIONS, network

SIZES = {
    "linear": ((5,), (9,)),
    "bilinear": ((4, 7), (8, 7)),
    "trilinear": ((3, 1, 6), (5, 4, 2)),
}


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("mode", SIZES)
def test_interpolation_and_its_gradient_are_those_of_torch(mode, align_corners) -> None:
    torch.manual_seed(0)
    size, wanted = SIZES[mode]
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    got = interpolate_by_products(x, wanted, align_corners=align_corners)
    expected = functional.interpolate(x, size=wanted, mode=mode, align_corners=align_corners)
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    torch.testing.assert_close(torch.autograd.grad(got, x, gradient), torch.autograd.grad(expected, x, gradient))


def test_weights_made_in_inference_serve_a_training() -> None:
    processor._weights.cache_clear()
    with torch.inference_mode():
        interpolate_by_products(torch.randn(1, 1, 3, 3), (7, 5), align_corners=True)
    x = torch.randn(1, 1, 3, 3, requires_grad=True)
    interpolate_by_products(x, (7, 5), align_corners=True).sum().backward()
    assert x.grad is not None


def test_a_compiler_a_gpu_and_mixed_precision_get_the_plain_operations() -> None:
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(runs_plainly_on_a_processor(x))
        return x + 1

    x = torch.zeros(1, 1, 2, 2)
    function(x), function(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        function(x)
    assert seen == [True, False, False]
    compiled = torch.compile(lambda x: x + 1 if runs_plainly_on_a_processor(x) else x - 1, backend="eager")
    assert float(compiled(x).sum()) == -4


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_layout_changes_nothing_else_and_the_gradient_comes_back_in_the_other(dimensions) -> None:
    x = torch.randn(2, 3, *(4, 5, 6)[:dimensions], requires_grad=True)
    last = channels_last(x)
    assert last.stride()[1] == 1
    first = channels_first(last)
    assert first.is_contiguous()
    assert torch.equal(last, x)
    assert torch.equal(first, x)
    gradients = torch.autograd.grad(first, (x, last), torch.ones_like(first))
    assert gradients[0].is_contiguous()
    assert gradients[1].stride()[1] == 1


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


@pytest.mark.parametrize(
    ("grid", "size", "kernel"),
    [((8,), (5,), (3,)), ((8, 6), (5, 12), (1, 3)), ((8, 4, 6), (3, 7, 9), (1, 3, 5)), ((1, 4, 6), (1, 4, 9), (3, 3, 1))],
)
def test_a_map_interpolated_and_convolved_at_once(grid, size, kernel) -> None:
    torch.manual_seed(0)
    shapes = ((1, 3, *grid), (3, 1, *kernel), (3,))
    x, weight, bias = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    mode = list(SIZES)[len(grid) - 1]
    convolution = getattr(functional, f"conv{len(grid)}d")
    interpolated = functional.interpolate(x, size=size, mode=mode, align_corners=True)
    expected = convolution(interpolated, weight, bias, padding=[k // 2 for k in kernel], groups=3)[0].flatten(1)
    got = convolve_interpolated(x, size, weight, bias)
    torch.testing.assert_close(got, expected)
    gradient = torch.randn_like(got)
    got, expected = (torch.autograd.grad(output, (x, weight, bias), gradient) for output in (got, expected))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("plan", CONFIGURATIONS)
@pytest.mark.parametrize("preset", ["EGEUNet", "EGE", "MCANet"])
def test_a_training_step_is_the_same_either_way(preset, plan, monkeypatch) -> None:
    x = torch.randn(2, 1, *CONFIGURATIONS[plan]["patch_size"], dtype=torch.float64)

    def step() -> list[Tensor]:
        net = network(preset, plan).double()
        for module in net.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
        outputs = net(x)
        sum((output * torch.cos(torch.arange(output.numel())).view_as(output)).sum() for output in outputs).backward()
        return [*outputs, *(parameter.grad for parameter in net.parameters()), *net.buffers()]

    ours = step()
    for module in ("operations", "processor", "narrow_convolutions", "blocks.gab", "blocks.ghpa"):
        monkeypatch.setattr(f"nnunetv2_ext.architectures.{module}.runs_plainly_on_a_processor", lambda _x: False)
    torch.testing.assert_close(ours, step(), rtol=1e-8, atol=1e-8)
