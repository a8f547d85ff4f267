"""The modes of activation recomputation, and running a block again in the backward."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.precision import restored_autocast
from nnunetv2_ext.architectures.recompute.lazy import LazyMap, checkpointed, materialize

Recompute = Literal["none", "selective", "full"]


def run_block(
    recompute: Recompute, module: nn.Module, plain: Callable[..., Any], lazy: Callable[..., Any], *inputs: Any
) -> Any:
    """Runs a block in a mode of recomputation.

    Without a backward there is nothing to recompute; on a CPU the lazy implementation is then the faster one. Under
    ``torch.compile`` the compiler is told what to recompute. Its debugging backend ``"eager"`` would update running statistics
    twice, and fails in the backward (``"aot_eager"`` works). A block with a SyncBatchNorm, which no compiler can trace, runs
    eagerly: the compiler would have to interrupt the region that it is told to recompute, and would run the norm twice.

    Args:
        recompute: ``"none"`` calls ``plain``; ``"selective"`` calls ``lazy``; ``"full"`` calls ``lazy``, keeps the inputs
            alone, and calls it again in the backward, without touching the running statistics.
        module: the block.
        plain: its implementation in ordinary operations.
        lazy: its implementation with lazy feature maps.
        inputs: what both take.
    """
    if recompute == "none":
        return plain(*inputs)
    if not (module.training and torch.is_grad_enabled()):
        is_cpu_inference = not torch.is_grad_enabled() and is_eager_cpu(inputs[0])
        return (lazy if is_cpu_inference else plain)(*inputs)
    if torch.compiler.is_compiling() and any(isinstance(m, nn.SyncBatchNorm) for m in module.modules()):
        return _run_eagerly(recompute, module, plain, lazy, *inputs)
    if recompute == "full" and torch.compiler.is_compiling():
        return checkpointed(plain, inputs)
    if recompute == "full":
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return _RecomputedBlock.apply(lazy, module, len(inputs), *inputs, *parameters)
    return lazy(*inputs)


def run_again_in_backward(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, which is called again in the backward, so that autograd keeps its arguments alone.

    Args:
        function: it may neither draw random numbers nor update statistics.
        arguments: tensors, or whatever else it takes.
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


@torch.compiler.disable
def _run_eagerly(*arguments: Any) -> Any:
    output = run_block(*arguments)
    return materialize(output) if isinstance(output, LazyMap) else output  # compiled code takes no lazy map


class _RecomputedBlock(torch.autograd.Function):
    """Calls a function, keeps its inputs, and calls it again in the backward.

    As torch.utils.checkpoint, but running statistics are updated once.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], module: nn.Module, count: int, *tensors: Tensor) -> Any:
        ctx.function, ctx.module, ctx.autocast = function, module, restored_autocast(tensors[0])
        ctx.parameters = tensors[count:]
        ctx.save_for_backward(*tensors[:count])
        ctx.random_states = _random_states(tensors[0].device)
        out = function(*tensors[:count])
        return out if isinstance(out, Tensor) else tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        inputs = [
            tensor.detach().requires_grad_(need)
            for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=False)
        ]
        with (
            torch.enable_grad(),
            ctx.autocast(),
            _spare_buffers(ctx.module),
            _with_random_states(inputs[0].device, ctx.random_states),
        ):
            out = ctx.function(*inputs)
        differentiable = [tensor for tensor in (*inputs, *ctx.parameters) if tensor.requires_grad]
        grads = iter(torch.autograd.grad(out, differentiable, grad_outputs, allow_unused=True))
        return None, None, None, *(next(grads) if tensor.requires_grad else None for tensor in (*inputs, *ctx.parameters))


def _random_states(device: torch.device) -> list[Tensor]:
    """Those of the generators that a block on this device may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_random_states(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


@contextmanager
def _with_random_states(device: torch.device, states: list[Tensor]) -> Iterator[None]:
    """Draws again what was drawn from these states on, and leaves the generators as they were."""
    now = _random_states(device)
    _set_random_states(device, states)
    try:
        yield
    finally:
        _set_random_states(device, now)


@contextmanager
def _spare_buffers(module: nn.Module) -> Iterator[None]:
    """Puts copies in the place of all buffers, which take the updates of running statistics and are thrown away."""
    buffers = [(m, name, buffer) for m in module.modules() for name, buffer in m.named_buffers(recurse=False)]
    for owner, name, buffer in buffers:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in buffers:
            setattr(owner, name, buffer)
