"""Types of some operations as the table in torch's documentation of CUDA's autocast has them."""

import torch
from torch.nn import functional

from tests.emulation.autocast import cuda_autocast_rules

IMAGE = torch.ones(2, 4, 8, 8)
VOLUME = torch.ones(2, 4, 4, 4, 4)
OPERATIONS = {
    "conv2d": (lambda x: functional.conv2d(x, torch.ones(3, 4, 1, 1)), torch.float16),
    "prelu": (lambda x: functional.prelu(x, torch.ones(4)), torch.float16),
    "einsum": (lambda x: torch.einsum("ncij,cd->ndij", x, torch.ones(4, 2)), torch.float16),
    "relu of half": (lambda x: x.half().relu(), torch.float16),
    "layer_norm": (lambda x: functional.layer_norm(x.half(), (8,)), torch.float32),
    "group_norm": (lambda x: functional.group_norm(x.half(), 2), torch.float32),
    "softmax": (lambda x: x.half().softmax(1), torch.float32),
    "softmax with a type": (lambda x: x.half().softmax(1, dtype=torch.float16), torch.float16),
    "sum": (lambda x: x.half().sum(1), torch.float32),
    "mean": (lambda x: x.half().mean(1), torch.float16),
    "interpolate": (lambda x: functional.interpolate(x.half(), scale_factor=2, mode="bilinear"), torch.float32),
    "normalize": (lambda x: functional.normalize(x.half()), torch.float32),
    "addcmul of both": (lambda x: torch.addcmul(x, x.half(), x.half()), torch.float32),
    "addcmul of half": (lambda x: torch.addcmul(x.half(), x.half(), x.half()), torch.float16),
    "double": (lambda x: functional.layer_norm(x.double(), (8,)), torch.float64),
    "instance_norm": (lambda x: functional.instance_norm(x.half()), torch.float16),
}


def test_types_are_those_on_cuda() -> None:
    with cuda_autocast_rules(), torch.autocast("cpu", torch.float16):
        got = {name: operation(IMAGE).dtype for name, (operation, _) in OPERATIONS.items()}
    assert got == {name: expected for name, (_, expected) in OPERATIONS.items()}


def test_a_rule_that_only_the_cpu_has_is_off_inside_and_back_behind() -> None:
    def pooled() -> torch.dtype:
        with torch.autocast("cpu", torch.bfloat16):
            return functional.avg_pool3d(VOLUME.bfloat16(), 2).dtype

    assert pooled() == torch.float32
    with cuda_autocast_rules():
        assert pooled() == torch.bfloat16
    assert pooled() == torch.float32


def test_gradients_pass() -> None:
    weight = torch.ones(4, 4, 1, 1, requires_grad=True)
    with cuda_autocast_rules(), torch.autocast("cpu", torch.float16):
        functional.layer_norm(functional.conv2d(IMAGE, weight), (8,)).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
