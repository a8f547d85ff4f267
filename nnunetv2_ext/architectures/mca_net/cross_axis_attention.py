"""MCA, multi-scale cross-axis attention."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.operations import operations, per_axis
from nnunetv2_ext.architectures.precision import at_least_single
from nnunetv2_ext.errors import PlanError

LENGTHS = (7, 11, 21)


def of_length_one(x: Tensor) -> Tensor:
    """``x`` over its Euclidean length along the last axis, which is computed in float32, as half precision would overflow.

    ``functional.normalize`` in float32 would be the same, but keep a float32 copy of x for the backward.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return (x / length.clamp_min(1e-12)).to(x.dtype)


class Strips(nn.Module):
    """The sum of depthwise convolutions that are long along one axis and 1 wide along the others.

    Args:
        channels: channels of input and output.
        axis: the axis along which they lie.
        lengths: their lengths, odd.
        dimensions: number of spatial dimensions.

    Shape:
        ``(N, channels, *spatial)`` to the same.
    """

    def __init__(self, channels: int, axis: int, lengths: Sequence[int], *, dimensions: int) -> None:
        super().__init__()
        depthwise = operations(dimensions).depthwise
        kernels = [tuple(length if a == axis else 1 for a in range(dimensions)) for length in lengths]
        self.convolutions = nn.ModuleList(depthwise(channels, kernel) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        return sum(convolution(x) for convolution in self.convolutions)


class CrossAxisAttention(nn.Module):
    """Multi-scale cross-axis attention of MCANet (Shao et al., arXiv 2312.08866).

    After a layer norm over the channels, depthwise strips of 7, 11 and 21 along each axis are summed and projected. Then there
    is an attention along each axis: its tokens are the slices across that axis, each with all its positions as features; its
    queries come from the strips along the axis, its keys and values from the strips along the next. Queries and keys have
    length one, and the queries are added to what they find, as in the authors' code. What the attentions give goes through
    the same projection and is added to the input.

    Differs from the paper: nD. The next axis is meant cyclically, which for n = 2 is the paper's pairing. An axis on which
    ``kernel_size`` is 1 has one strip of 1, but its attention. The temperature, which the authors' code never uses, is left
    out. A map shorter than a strip is as in the paper: the strip's ends lie on the padding.

    Complexity: with V voxels and axes of length L, C V sum(L) multiplications for all the logits, as many for the values.

    Args:
        channels: channels of input and output.
        dimensions: number of spatial dimensions.
        heads: number of heads, a divisor of the channels.
        kernel_size: kernel of the plan where the block works, one number or one per axis.

    Shape:
        ``(N, channels, *spatial)`` to the same, for any size.

    Raises:
        PlanError: if the heads don't divide the channels.

    Example:
        >>> import torch
        >>> CrossAxisAttention(8, dimensions=3, heads=2)(torch.zeros(2, 8, 1, 6, 7)).shape
        torch.Size([2, 8, 1, 6, 7])
    """

    def __init__(self, channels: int, *, dimensions: int, heads: int = 8, kernel_size: int | Sequence[int] = 3) -> None:
        super().__init__()
        if channels % heads:
            raise PlanError(f"got {channels} channels for {heads} heads, need a multiple: choose other heads or features")
        self.heads = heads
        self.norm = ChannelLayerNorm(channels, eps=1e-5)
        self.strips = nn.ModuleList(
            Strips(channels, axis, LENGTHS if kernel > 1 else (1,), dimensions=dimensions)
            for axis, kernel in enumerate(per_axis(kernel_size, dimensions))
        )
        self.project = operations(dimensions).convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normalised = self.norm(x)
        along = [self.project(strips(normalised)) for strips in self.strips]
        attended = x
        for axis, queries in enumerate(along):
            keys = along[(axis + 1) % len(along)]
            attended = attended + self.project(self._attend(queries, keys, axis))
        return attended

    def _attend(self, queries: Tensor, keys: Tensor, axis: int) -> Tensor:
        """Attention between the slices across an axis; the keys are the values too."""
        tokens, shape = self._tokens(queries, axis)
        values, _ = self._tokens(keys, axis)
        tokens = of_length_one(tokens)
        logits = tokens @ of_length_one(values).transpose(-2, -1)
        found = at_least_single(logits).softmax(-1).to(values.dtype) @ values + tokens
        return found.unflatten(-1, shape).movedim(2, 3 + axis).flatten(1, 2)

    def _tokens(self, x: Tensor, axis: int) -> tuple[Tensor, Sequence[int]]:
        """``(N, C, *spatial)`` to ``(N, heads, length of the axis, features)``, and the shape of the features."""
        tokens = x.unflatten(1, (self.heads, -1)).movedim(3 + axis, 2)
        return tokens.flatten(3), tokens.shape[3:]
