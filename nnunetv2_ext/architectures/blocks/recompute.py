"""The forms in which a training step of a block can be computed, and repeating a block in the backward."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nnunetv2_ext.architectures.blocks.deferred import repeated
from nnunetv2_ext.architectures.precision import restored_autocast
from nnunetv2_ext.architectures.processor.layout import runs_plainly_on_a_processor

Form = Literal["plain", "fast", "frugal"]


def in_form(form: Form, module: nn.Module, plain: Callable[..., Any], recomputed: Callable[..., Any], *inputs: Any) -> Any:
    """Calls one of two implementations of a block, as its form says.

    The one in deferred maps saves memory where there is a backward; without one it saves time on a processor, whose channels
    it puts last. A compiler is told what to repeat, and does so after its own fashion; its debugging backend ``"eager"``, which
    would bring running statistics up to date twice, fails in the backward (``"aot_eager"`` works).

    Args:
        form: ``"plain"``; ``"fast"``, which calls ``recomputed``; or ``"frugal"``, which calls it, keeps the inputs alone, and
            calls it again in the backward, without touching the running statistics.
        module: the block.
        plain: its implementation in ordinary operations.
        recomputed: its implementation in deferred maps.
        inputs: what both take.
    """
    if form == "plain":
        return plain(*inputs)
    if not (module.training and torch.is_grad_enabled()):
        without_backward = not torch.is_grad_enabled() and runs_plainly_on_a_processor(inputs[0])
        return (recomputed if without_backward else plain)(*inputs)
    if form == "frugal" and torch.compiler.is_compiling():
        return repeated(plain, inputs)
    if form == "frugal":
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return _Repeated.apply(recomputed, module, len(inputs), *inputs, *parameters)
    return recomputed(*inputs)


class _Repeated(torch.autograd.Function):
    """Calls a function, keeps its inputs, and calls it again in the backward.

    What torch.utils.checkpoint does, but for the running statistics.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], module: nn.Module, count: int, *tensors: Tensor) -> Any:
        ctx.function, ctx.module, ctx.autocast = function, module, restored_autocast(tensors[0])
        ctx.parameters = tensors[count:]
        ctx.save_for_backward(*tensors[:count])
        ctx.random_state = _random_state(tensors[0].device) if _draws(module) else None
        out = function(*tensors[:count])
        return out if isinstance(out, Tensor) else tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        inputs = [
            tensor.detach().requires_grad_(need)
            for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=False)
        ]
        with torch.enable_grad(), ctx.autocast(), _without_statistics(ctx.module), _with_random_state(ctx.random_state):
            out = ctx.function(*inputs)
        wanted = [tensor for tensor in (*inputs, *ctx.parameters) if tensor.requires_grad]
        found = iter(torch.autograd.grad(out, wanted, gradients, allow_unused=True))
        return None, None, None, *(next(found) if tensor.requires_grad else None for tensor in (*inputs, *ctx.parameters))


def _draws(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in module.modules())


def _random_state(device: torch.device) -> tuple[torch.device, Tensor, Tensor | None]:
    return device, torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextmanager
def _with_random_state(state: tuple[torch.device, Tensor, Tensor | None] | None) -> Iterator[None]:
    if state is None:
        yield
        return
    device, processor, accelerator = state
    with torch.random.fork_rng([device] if accelerator is not None else []):
        torch.set_rng_state(processor)
        if accelerator is not None:
            torch.cuda.set_rng_state(accelerator, device)
        yield


@contextmanager
def _without_statistics(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
