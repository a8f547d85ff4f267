"""How a lazy feature map is computed from tensors, chunk by chunk, and how its gradient becomes theirs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from nnunetv2_ext.memory.gpu_paths import gpu_paths_taken

# Chunks of a map: small enough to stay in a CPU's cache, and for a GPU few and large, since each takes launches of its own.
MAX_CHUNKS = {"cpu": 32, "other": 8}
MIN_CHUNK_BYTES = {"cpu": 2**20, "other": 2**23}

Tensors = Sequence[Tensor]
Gradients = list[Tensor | None]
GradientOf = Callable[[slice], Tensor]


class Producer(Protocol):
    """Computes a feature map from tensors, the first of which has its size, and turns its gradient into theirs."""

    def compute(self, tensors: Tensors, chunk: slice) -> Tensor:
        """The map at some positions of its first spatial axis, as a new tensor or a view of an input."""

    def backward(
        self, tensors: Tensors, needs_grad: Sequence[bool], grad_output: GradientOf, reuse: Tensor | None
    ) -> Gradients:
        """The gradients of the tensors, None where ``needs_grad`` is not set.

        Args:
            tensors: what the map is computed from.
            needs_grad: one per tensor.
            grad_output: gives the map's gradient for a chunk.
            reuse: the map's whole gradient, if its memory may be overwritten.
        """


class Identity:
    """The producer of a map that already exists."""

    def compute(self, tensors: Tensors, chunk: slice) -> Tensor:
        return take(tensors[0], chunk)

    def backward(
        self, tensors: Tensors, needs_grad: Sequence[bool], grad_output: GradientOf, reuse: Tensor | None
    ) -> Gradients:
        if not needs_grad[0]:
            return [None]
        grad_x = empty_like(tensors[0], reuse)
        if grad_x is not reuse:
            for chunk in chunks(grad_x):
                take(grad_x, chunk).copy_(grad_output(chunk))
        return [grad_x]


class Scaled:
    """The producer of a map times a factor per position."""

    def compute(self, tensors: Tensors, chunk: slice) -> Tensor:
        x, factor = tensors
        return take(x, chunk) * take(factor, chunk)

    def backward(
        self, tensors: Tensors, needs_grad: Sequence[bool], grad_output: GradientOf, reuse: Tensor | None
    ) -> Gradients:
        x, factor = tensors
        grad_x = empty_like(x, reuse) if needs_grad[0] else None
        grad_factor = torch.empty_like(factor) if needs_grad[1] else None
        for chunk in chunks(x):
            grad_chunk = grad_output(chunk)
            if grad_factor is not None:
                take(grad_factor, chunk).copy_((grad_chunk * take(x, chunk)).sum(1, keepdim=True))
            if grad_x is not None:
                take(grad_x, chunk).copy_(grad_chunk * take(factor, chunk))
        return [grad_x, grad_factor]


def chunks(x: Tensor) -> Iterator[slice]:
    """Slices that cover the first spatial axis of a map."""
    length = x.shape[2]
    device = "cpu" if x.device.type == "cpu" and not gpu_paths_taken() else "other"
    size = -(-length // max(1, min(MAX_CHUNKS[device], length, x.nbytes // MIN_CHUNK_BYTES[device])))
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def take(x: Tensor, chunk: slice) -> Tensor:
    """The chunk of a map, as a view."""
    return x[:, :, chunk]


def empty_like(x: Tensor, reuse: Tensor | None) -> Tensor:
    """``reuse`` if it can hold a map like x, else a new tensor."""
    return reuse if reuse is not None and reuse.dtype == x.dtype and reuse.shape == x.shape else torch.empty_like(x)


def broadcast(values: Tensor, x: Tensor) -> Tensor:
    """``(C,)`` or ``(N, C)`` with the trailing axes it needs to be multiplied with a map."""
    values = values if values.dim() == 2 else values.unsqueeze(0)
    return values.reshape(*values.shape, *(1 for _ in x.shape[2:]))
