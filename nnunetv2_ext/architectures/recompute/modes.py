"""The modes of activation recomputation, and running a block again in the backward."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.precision import restored_autocast
from nnunetv2_ext.architectures.recompute.lazy import checkpointed

Recompute = Literal["none", "selective", "full"]


def run_block(
    recompute: Recompute, module: nn.Module, plain: Callable[..., Any], lazy: Callable[..., Any], *inputs: Any
) -> Any:
    """Runs a block in a mode of recomputation.

    Without a backward there is nothing to recompute; on a CPU the lazy implementation is then the faster one. Under
    ``torch.compile`` the compiler is told what to recompute. Its debugging backend ``"eager"`` would update running statistics
    twice, and fails in the backward (``"aot_eager"`` works).

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
    if recompute == "full" and torch.compiler.is_compiling():
        return checkpointed(plain, inputs)
    if recompute == "full":
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return _RecomputedBlock.apply(lazy, module, len(inputs), *inputs, *parameters)
    return lazy(*inputs)


class _RecomputedBlock(torch.autograd.Function):
    """Calls a function, keeps its inputs, and calls it again in the backward.

    As torch.utils.checkpoint, but running statistics are updated once.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], module: nn.Module, count: int, *tensors: Tensor) -> Any:
        ctx.function, ctx.module, ctx.autocast = function, module, restored_autocast(tensors[0])
        ctx.parameters = tensors[count:]
        ctx.save_for_backward(*tensors[:count])
        ctx.random_state = _random_state(tensors[0].device) if _is_random(module) else None
        out = function(*tensors[:count])
        return out if isinstance(out, Tensor) else tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        inputs = [
            tensor.detach().requires_grad_(need)
            for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=False)
        ]
        with torch.enable_grad(), ctx.autocast(), _frozen_statistics(ctx.module), _with_random_state(ctx.random_state):
            out = ctx.function(*inputs)
        differentiable = [tensor for tensor in (*inputs, *ctx.parameters) if tensor.requires_grad]
        grads = iter(torch.autograd.grad(out, differentiable, grad_outputs, allow_unused=True))
        return None, None, None, *(next(grads) if tensor.requires_grad else None for tensor in (*inputs, *ctx.parameters))


def _is_random(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in module.modules())


def _random_state(device: torch.device) -> tuple[torch.device, Tensor, Tensor | None]:
    return device, torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextmanager
def _with_random_state(state: tuple[torch.device, Tensor, Tensor | None] | None) -> Iterator[None]:
    if state is None:
        yield
        return
    device, cpu_state, cuda_state = state
    with torch.random.fork_rng([device] if cuda_state is not None else []):
        torch.set_rng_state(cpu_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, device)
        yield


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
