"""CUDA's autocast rules on the CPU and the meta device."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from nnunetv2_ext.memory.autocast import _kernels, cuda_autocast_rules, half_autocast

HALF, SINGLE, DOUBLE = torch.float16, torch.float32, torch.float64


def types(device: str) -> dict[str, torch.dtype]:
    half, single = (torch.ones(2, 3, 4, 4, dtype=dtype, device=device) for dtype in (HALF, SINGLE))
    weight = torch.ones(3, 3, 1, 1, device=device)
    results = {
        "convolution": functional.conv2d(single, weight),
        "matmul": single @ single,
        "einsum": torch.einsum("nchw,nchw->n", single, single),
        "prelu": functional.prelu(single, weight[0, :1, 0, 0]),
        "softmax": half.softmax(1),
        "softmax with a type": half.softmax(1, dtype=HALF),
        "group norm": functional.group_norm(half, 1),
        "normalize": functional.normalize(half),
        "mean": half.mean(1),
        "layer norm": functional.layer_norm(half, (4,)),
        "sum": half.sum(),
        "square": half.square(),
        "norm": half.norm(),
        "interpolation": functional.interpolate(half, scale_factor=2, mode="bilinear"),
        "instance norm": functional.instance_norm(half),
        "pooling": functional.avg_pool2d(half, 2),
        "relu": half.relu(),
        "addcmul of half": torch.addcmul(half, half, half),
        "addcmul of both": torch.addcmul(half, half, single),
        "convolution in double": functional.conv2d(single.double(), weight.double()),
    }
    return {name: result.dtype for name, result in results.items()}


# As pytorch.org/docs/stable/amp.html lists them for CUDA.
EXPECTED = {
    **dict.fromkeys(("convolution", "matmul", "einsum", "prelu"), HALF),
    **dict.fromkeys(("softmax", "layer norm", "group norm", "sum", "square", "norm", "normalize", "interpolation"), SINGLE),
    **dict.fromkeys(("instance norm", "pooling", "mean", "relu", "addcmul of half"), HALF),
    "softmax with a type": HALF,
    "addcmul of both": SINGLE,
    "convolution in double": DOUBLE,
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_operations_get_the_types_that_they_have_on_cuda(device: str) -> None:
    before = types("cpu")
    with cuda_autocast_rules():
        with half_autocast():
            assert types(device) == EXPECTED
        assert types(device) == {**before, "convolution in double": DOUBLE}
    assert types("cpu") == before


def test_operations_of_other_packages_are_left_alone() -> None:
    with torch.library._scoped_library("other", "FRAGMENT") as library:
        library.define("operation(Tensor x) -> Tensor")
        library.impl("operation", lambda x: x, "AutocastCPU")
        _kernels.cache_clear()
        with cuda_autocast_rules(), half_autocast():
            assert functional.layer_norm(torch.ones(2, 3).half(), (3,)).dtype == SINGLE
    _kernels.cache_clear()


def test_the_cpu_gets_its_own_rules_back_also_after_an_error() -> None:
    def own() -> dict[str, torch.dtype]:
        with torch.autocast("cpu", HALF):
            return types("cpu")

    before = own()
    with pytest.raises(ZeroDivisionError), cuda_autocast_rules():
        _ = 1 / 0
    assert own() == before


def test_a_rule_that_only_the_cpu_has_is_off_inside() -> None:
    def pooled() -> torch.dtype:
        with torch.autocast("cpu", torch.bfloat16):
            return functional.avg_pool3d(torch.ones(1, 1, 4, 4, 4, dtype=torch.bfloat16), 2).dtype

    assert pooled() == SINGLE
    with cuda_autocast_rules():
        assert pooled() == torch.bfloat16
    assert pooled() == SINGLE


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_checkpoint_recomputes_is_cast_again(device: str) -> None:
    seen: list[torch.dtype] = []

    def function(x: Tensor) -> Tensor:
        y = functional.linear(x, torch.ones(3, 3, device=device))
        seen.append(y.dtype)
        return y.sigmoid()

    x = torch.ones(2, 3, device=device, requires_grad=True)
    with cuda_autocast_rules():
        with half_autocast():
            y = checkpoint(function, x, use_reentrant=False)
        y.float().sum().backward()
    assert seen == [HALF, HALF]
    assert x.grad is not None
    assert x.grad.dtype == SINGLE


def test_a_weight_is_cast_once_in_a_forward() -> None:
    layer = nn.Linear(3, 3, bias=False)
    saved: list[int] = []

    def note(x: Tensor) -> Tensor:
        saved.append(x.untyped_storage().data_ptr())
        return x

    with cuda_autocast_rules(), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        with half_autocast():
            y = layer(layer(torch.ones(2, 3, requires_grad=True)))
        y.float().sum().backward()
    assert len(saved) > len(set(saved))
    assert layer.weight.grad is not None
