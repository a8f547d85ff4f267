"""A shortcut around a block."""

import torch
from torch import Tensor, nn


class Shortcut(nn.Module):
    """Adds what a block makes of a feature map to that map, times a learned scale that is zero before the training.

    So a network begins as if it did not have the block, and takes as much of it as helps. From ReZero (arXiv 2003.04887).

    Shape:
        two tensors of the same shape, the map and what the block makes of it, to the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        return before + self.scale.to(after.dtype) * after


def added(shortcut: Shortcut | None, before: Tensor, after: Tensor) -> Tensor:
    """The sum of the shortcut; without one, ``after`` alone."""
    return after if shortcut is None else shortcut(before, after)
