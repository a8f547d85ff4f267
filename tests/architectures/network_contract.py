"""What every network has to fulfil, as functions that a network's own test calls with the plans it wants tried."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def plan_arguments(dimensions: int, stages: int = 3, **changes: Any) -> dict[str, Any]:
    """A small plan; with ``anisotropic`` the first axis is pooled, and has kernels of 3, from stage 2 on."""
    anisotropic = changes.pop("anisotropic", False)
    first = {True: 1, False: 2}
    strides = [[1] * dimensions] + [[first[anisotropic and stage < 2], *[2] * (dimensions - 1)] for stage in range(1, stages)]
    kernels = [[1 if anisotropic and stage < 2 else 3, *[3] * (dimensions - 1)] for stage in range(stages)]
    return {
        "input_channels": 2,
        "num_classes": 3,
        "n_stages": stages,
        "features_per_stage": [4 * (stage + 1) for stage in range(stages)],
        "conv_op": (nn.Conv2d, nn.Conv3d)[dimensions - 2],
        "kernel_sizes": kernels,
        "strides": strides,
        "n_conv_per_stage": 1,
        "n_conv_per_stage_decoder": 1,
        "conv_bias": True,
        "norm_op": (nn.InstanceNorm2d, nn.InstanceNorm3d)[dimensions - 2],
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        **changes,
    }


def assert_host_outputs(network: nn.Module, x: Tensor, strides: Sequence[Sequence[int]], classes: int) -> None:
    """One output per stage but the last, finest first, with deep supervision; else the finest alone; always logits."""
    network.decoder.deep_supervision = True
    outputs = network(x)
    size = torch.tensor(x.shape[2:])
    wanted = [tuple((size // torch.tensor(strides[: stage + 1]).prod(0)).tolist()) for stage in range(len(strides) - 1)]
    assert [tuple(output.shape) for output in outputs] == [(x.shape[0], classes, *spatial) for spatial in wanted]
    network.decoder.deep_supervision = False
    assert network(x).shape == (x.shape[0], classes, *x.shape[2:])


def assert_every_parameter_gets_a_gradient(network: nn.Module, x: Tensor) -> None:
    """In both modes, and with deep supervision not only one of zeros."""
    for deep_supervision in (True, False):
        network.decoder.deep_supervision = deep_supervision
        network.zero_grad()
        outputs = network(x)
        outputs = outputs if deep_supervision else [outputs]
        sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
        without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert not without, f"no gradient with deep_supervision={deep_supervision}: {without}"
        if deep_supervision:
            zero = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
            assert not zero, f"zero gradient: {zero}"


def assert_one_key_per_tensor(network: nn.Module) -> None:
    pointers = [tensor.data_ptr() for tensor in network.state_dict(keep_vars=True).values() if tensor.numel()]
    assert len(pointers) == len(set(pointers))


def assert_pickles(network: nn.Module, x: Tensor) -> None:
    copy = pickle.loads(pickle.dumps(network.eval()))
    torch.testing.assert_close(copy(x), network(x))


def assert_exports_and_compiles(network: nn.Module, x: Tensor) -> None:
    network.decoder.deep_supervision = False
    expected = network.eval()(x)
    exported = torch.export.export(network, (x,))
    torch.export.save(exported, io.BytesIO())
    torch.testing.assert_close(exported.module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(network, fullgraph=True, backend="eager")(x), expected)


def assert_finite_under_autocast(network: nn.Module, x: Tensor) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            output = network.eval()(x * 50)
        assert torch.isfinite(output).all(), f"not finite under autocast to {dtype}"
