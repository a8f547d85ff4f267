"""A convolution to few channels that computes neighbouring positions together."""

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor


def convolve_neighbours(x: Tensor, weight: Tensor, bias: Tensor, neighbours: int) -> Tensor:
    """A convolution that keeps the size and computes several neighbours along the last axis together.

    With channels last, the channels of neighbouring positions are adjacent in memory, so a group of neighbours can be treated
    as one position with more channels. Some weights of that convolution are zero, but few channels take as long as many.

    Args:
        x: ``(N, in_channels, *spatial)``.
        weight: ``(out_channels, in_channels, *kernel)``, the kernel odd.
        bias: ``(out_channels,)``.
        neighbours: positions per group, a divisor of the last axis.

    Shape:
        ``(N, out_channels, *spatial)``.
    """
    out_channels, in_channels, *kernel = weight.shape
    size, groups = x.shape[2:], x.shape[-1] // neighbours
    together = _neighbour_weights(neighbours, kernel[-1], weight.dtype)
    # (out, in, *kernel but the last, to, from, taps) -> (to * out, from * in, *kernel but the last, taps)
    wide = (
        (weight @ together.flatten(1)).unflatten(-1, together.shape[1:]).movedim((-3, -2), (0, 2)).flatten(0, 1).flatten(1, 2)
    )
    rows = x.movedim(1, -1).reshape(len(x), *size[:-1], groups, neighbours * in_channels)
    padding, ones, zeros = [length // 2 for length in wide.shape[2:]], [1] * len(kernel), [0] * len(kernel)
    y = torch.convolution(rows.movedim(-1, 1), wide, torch.cat([bias] * neighbours), ones, padding, ones, False, zeros, 1)
    return y.movedim(1, -1).reshape(len(x), *size, out_channels).movedim(-1, 1)


@lru_cache(maxsize=256)
def _neighbour_weights(neighbours: int, kernel: int, dtype: torch.dtype) -> Tensor:
    """``(kernel, to, from, taps)``: 1 where a tap of the kernel connects two neighbours, of one group or of adjacent ones."""
    arm = kernel // 2
    reach = -(-arm // neighbours)
    with torch.inference_mode(False):
        weights = torch.zeros(kernel, neighbours, neighbours, 2 * reach + 1, dtype=dtype)
        for tap, to in product(range(kernel), range(neighbours)):
            group, source = divmod(to + tap - arm, neighbours)
            weights[tap, to, source, reach + group] = 1
    return weights
