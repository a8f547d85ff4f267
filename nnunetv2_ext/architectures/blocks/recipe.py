"""How a map is made again from tensors, some positions at a time, and how its gradient becomes theirs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

# Pieces of a map, none smaller than a megabyte: small enough to stay in a processor's cache, few enough for a GPU.
PIECES = {"cpu": 32, "other": 8}
SMALLEST_PIECE = 2**20

Tensors = Sequence[Tensor]
Gradients = list[Tensor | None]
GradientOf = Callable[[slice], Tensor]


class Recipe(Protocol):
    """How a map is made from tensors, the first of which has its size, and what its gradient is with respect to them."""

    def make(self, tensors: Tensors, piece: slice) -> Tensor:
        """The map at some positions along its first spatial axis, as a tensor of its own or a part of an input."""

    def gradients(self, tensors: Tensors, needed: Sequence[bool], gradient: GradientOf, place: Tensor | None) -> Gradients:
        """The gradients of the tensors, where ``needed``.

        Args:
            tensors: what the map is made from.
            needed: one per tensor.
            gradient: the map's gradient at some positions.
            place: the map's whole gradient, where there is one that may be overwritten.
        """


class AsItIs:
    """The recipe of a map that is there."""

    def make(self, tensors: Tensors, piece: slice) -> Tensor:
        return cut(tensors[0], piece)

    def gradients(self, tensors: Tensors, needed: Sequence[bool], gradient: GradientOf, place: Tensor | None) -> Gradients:
        if not needed[0]:
            return [None]
        of_map = like(tensors[0], place)
        if of_map is not place:
            for piece in pieces(of_map):
                cut(of_map, piece).copy_(gradient(piece))
        return [of_map]


class Scaled:
    """The recipe of a map that is scaled at each position."""

    def make(self, tensors: Tensors, piece: slice) -> Tensor:
        x, factor = tensors
        return cut(x, piece) * cut(factor, piece)

    def gradients(self, tensors: Tensors, needed: Sequence[bool], gradient: GradientOf, place: Tensor | None) -> Gradients:
        x, factor = tensors
        of_x = like(x, place) if needed[0] else None
        of_factor = torch.empty_like(factor) if needed[1] else None
        for piece in pieces(x):
            of_piece = gradient(piece)
            if of_factor is not None:
                cut(of_factor, piece).copy_((of_piece * cut(x, piece)).sum(1, keepdim=True))
            if of_x is not None:
                cut(of_x, piece).copy_(of_piece * cut(factor, piece))
        return [of_x, of_factor]


def pieces(x: Tensor) -> Iterator[slice]:
    """Parts of a map along its first spatial axis."""
    length = x.shape[2]
    most = PIECES.get(x.device.type, PIECES["other"])
    width = -(-length // max(1, min(most, length, x.nbytes // SMALLEST_PIECE)))
    return (slice(start, min(start + width, length)) for start in range(0, length, width))


def cut(x: Tensor, piece: slice) -> Tensor:
    return x[:, :, piece]


def like(x: Tensor, place: Tensor | None) -> Tensor:
    """``place`` if it can hold a map like x, else a new one."""
    return place if place is not None and place.dtype == x.dtype and place.shape == x.shape else torch.empty_like(x)


def as_factor(values: Tensor, x: Tensor) -> Tensor:
    """``(C,)`` or ``(N, C)`` as something to multiply a map with."""
    values = values if values.dim() == 2 else values.unsqueeze(0)
    return values.reshape(*values.shape, *(1 for _ in x.shape[2:]))
