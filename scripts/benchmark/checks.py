"""That what is measured computes the right thing, on the device that it is measured on."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures import EGE, EGEUNet
from nnunetv2_ext.architectures.recompute.modes import Recompute
from scripts.benchmark.networks import HIPPOCAMPUS, WIDE, plan
from scripts.benchmark.steps import rules_of_a_gpu
from tests.plans import CONFIGURATIONS, network

SCALE = 1024
"""of the loss in mixed precision, where small gradients would become zero, as nnU-Net's GradScaler does it"""
LIMITS = {"outputs": 0.05, "gradients": 0.5}
"""how far they may be in float16 from those in float32; untrained norms amplify what rounding loses"""
TRIES = 3
"""With some weights norms amplify it beyond the limits. Others are tried then: what is computed wrongly is wrong with all."""


def check_mode(device: torch.device, mode: Recompute, compiled: bool) -> None:
    """Raises unless a mode of recomputation, compiled or not, gives what mode "none" gives on a CPU, in float64."""
    x, arguments = torch.randn(1, 1, 16, 16, 16, dtype=torch.float64), plan((6, 8, 10, 12))
    reference = EGE(recompute="none", **arguments).double()
    for name, parameter in reference.named_parameters():
        if name.endswith("shortcut.scale"):  # zero before the training, which would hide what the blocks compute
            torch.nn.init.ones_(parameter)
    weights = deepcopy(reference.state_dict())
    expected = _step_results(reference, reference, x)
    net = EGE(recompute=mode, **arguments).double()
    net.load_state_dict(weights)
    net = net.to(device)
    run = torch.compile(net, backend="aot_eager") if compiled else net
    torch.testing.assert_close(_step_results(net, run, x.to(device)), expected, rtol=1e-8, atol=1e-8)
    torch.compiler.reset()


def check_light(device: torch.device) -> None:
    """Raises unless the light network gives on the device what its plain operations give on a CPU, in float64."""
    x = torch.randn(2, 1, *HIPPOCAMPUS, dtype=torch.float64)  # as it is timed: which operations it takes depends on the size
    reference = EGEUNet(**plan(WIDE[:4])).double()
    ours = deepcopy(reference).to(device)
    plain = torch.compile(reference, backend="eager")  # a compiler gets the plain operations
    expected = _step_results(reference, plain, x)
    torch.testing.assert_close(_step_results(ours, ours, x.to(device)), expected, rtol=1e-8, atol=1e-8)
    ours.eval()
    with torch.inference_mode():
        for _ in range(2):  # again with the feature maps that the first time cached
            outputs = [output.cpu() for output in ours(x.to(device))]
            torch.testing.assert_close(outputs, expected[: len(outputs)], rtol=1e-8, atol=1e-8)
    torch.compiler.reset()


def half_precision_errors(preset: str, plan_name: str, device: torch.device, backend: str = "") -> dict[str, float]:
    """The errors below with the first weights that keep to the limits, or with the last that were tried."""
    for seed in range(TRIES):
        errors = _errors_with_weights(seed, preset, plan_name, device, backend)
        if all(errors[name] < limit for name, limit in LIMITS.items()):
            break
    return errors


def _errors_with_weights(seed: int, preset: str, plan_name: str, device: torch.device, backend: str) -> dict[str, float]:
    """How far a preset's outputs and gradients in mixed precision on a device are from those in float32 on a CPU.

    Args:
        seed: of the weights.
        preset: its name.
        plan_name: one of the tests' tiny plans.
        device: in mixed precision there.
        backend: by which the network is compiled; not at all if empty.

    Returns:
        The norm of the difference over the norm of what is expected, of all outputs and of all gradients.
    """
    reference = network(preset, plan_name, seed=seed)
    for module in reference.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    net = deepcopy(reference).to(device)
    x = torch.randn(2, 1, *CONFIGURATIONS[plan_name]["patch_size"], generator=torch.Generator().manual_seed(0))
    _loss(expected := reference(x)).backward()
    run = torch.compile(net, backend=backend) if backend else net
    with rules_of_a_gpu(device) as mixed_precision:
        with mixed_precision():
            outputs = run(x.to(device))
            loss = _loss(outputs)
        (loss * SCALE).backward()
    torch.compiler.reset()
    pairs = zip(net.parameters(), reference.parameters(), strict=True)
    gradients = [
        (ours.grad / SCALE, theirs.grad) for ours, theirs in pairs if theirs.grad is not None and ours.grad is not None
    ]
    assert len(gradients) == sum(parameter.grad is not None for parameter in reference.parameters())
    return {"outputs": _distance(list(zip(outputs, expected, strict=True))), "gradients": _distance(gradients)}


def _loss(outputs: list[Tensor]) -> Tensor:
    return torch.stack([(output.float() * _pattern(output)).mean() for output in outputs]).sum()


def _pattern(x: Tensor) -> Tensor:
    return torch.linspace(-1, 1, x.numel(), device=x.device, dtype=torch.promote_types(x.dtype, torch.float32)).view_as(x)


def _distance(pairs: list[tuple[Tensor, Tensor]]) -> float:
    differences = torch.stack([(ours.detach().cpu().float() - theirs.detach()).norm() for ours, theirs in pairs])
    return float(differences.norm() / torch.stack([theirs.detach().norm() for _, theirs in pairs]).norm())


def _step_results(net: nn.Module, run: Callable[[Tensor], Any], x: Tensor) -> list[Tensor]:
    """What a step leaves behind: outputs, gradients, running statistics."""
    net.zero_grad(set_to_none=True)
    outputs = run(x)
    torch.stack([(output * _pattern(output)).sum() for output in outputs]).sum().backward()
    left = [*outputs, *(parameter.grad for parameter in net.parameters()), *net.buffers()]
    return [tensor.detach().clone().cpu() for tensor in left]
