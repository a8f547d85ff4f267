"""GHPA, grouped multi-axis Hadamard product attention."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.blocks.shortcut import Shortcut, added
from nnunetv2_ext.architectures.cpu.cached import Cached
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.interpolation import convolve_interpolated
from nnunetv2_ext.architectures.operations import operations, per_axis, resize
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.errors import PlanError


def separable_convolution(in_channels: int, out_channels: int, kernel: Sequence[int]) -> nn.Sequential:
    """Depthwise convolution, GELU, convolution k1, in as many dimensions as the kernel has."""
    ops = operations(len(kernel))
    return nn.Sequential(ops.depthwise(in_channels, kernel), nn.GELU(), ops.convolution(in_channels, out_channels, 1))


class HadamardMap(nn.Module):
    """A learned map over some of the axes, resized to the input, refined by a separable convolution, and multiplied.

    Args:
        channels: channels of the input.
        axes: the spatial axes that the map has; it is constant along the others.
        dimensions: number of spatial dimensions of the input.
        grid: size of the map's parameter, one number per spatial axis of the input.
        kernel: kernel of the plan, one number per spatial axis of the input.

    Shape:
        ``(N, channels, *spatial)`` to the same.
    """

    def __init__(
        self, channels: int, axes: Sequence[int], *, dimensions: int, grid: Sequence[int], kernel: Sequence[int]
    ) -> None:
        super().__init__()
        self.axes = tuple(axes)
        self.dropped = tuple(axis for axis in range(dimensions) if axis not in axes)
        self.grid = nn.Parameter(torch.ones(1, channels, *(grid[axis] for axis in axes)))
        self.refine = separable_convolution(channels, channels, [kernel[axis] for axis in axes])
        self.cached = Cached()

    def forward(self, x: Tensor) -> Tensor:
        size = [x.shape[2 + axis] for axis in self.axes]
        factor = self._by_matmul(size) if is_eager_cpu(x) else self.refine(resize(self.grid, size))
        spread = [1 if axis in self.dropped else length for axis, length in enumerate(x.shape[2:])]
        return x * factor.reshape(1, -1, *spread)

    def _by_matmul(self, size: Sequence[int]) -> Tensor:
        """The same for a CPU: matrix products instead of interpolation and convolutions, and only once per prediction."""
        refine: Any = self.refine
        depthwise, activation, pointwise = refine

        def refined() -> Tensor:
            convolved = convolve_interpolated(self.grid, size, depthwise.weight, depthwise.bias)
            return pointwise(activation(convolved).view(1, -1, *size))

        if torch.is_grad_enabled() or self.training:  # a block that is recomputed has no gradient in its forward either
            return refined()
        parameters = (self.grid, depthwise.weight, depthwise.bias, pointwise.weight, pointwise.bias)
        return self.cached(refined, (*size, self.grid.dtype), parameters)


class GHPA(nn.Module):
    """Grouped multi-axis Hadamard product attention of EGE-UNet (MICCAI 2023, arXiv 2307.08473).

    Layer norm over the channels, then n + 2 groups of channels for n spatial axes: group 0 is multiplied with a map over all
    axes, group i = 1..n with a map that drops one axis (the last axis first), and the last goes through a convolution path.
    The groups are put together again, normalised, and go through a separable convolution.

    Differs from the paper: nD. For n = 2 it is the paper's block letter by letter; for n = 3 the groups are a volume map,
    three planes and the convolution path. Groups are as even as possible, the first ones take the remainder. An axis on which
    ``kernel_size`` is 1 has a kernel of 1 throughout.

    Args:
        in_channels: channels of the input, at least n + 2.
        out_channels: channels of the output.
        dimensions: number of spatial dimensions n, 2 or 3.
        grid: size of the maps' parameters, one number or one per spatial axis.
        kernel_size: one number or one per axis.
        maps: whether there are maps; without them their groups pass as they are, as if every map were one everywhere.
        shortcut: whether it adds to its input, see ``Shortcut``; needs as many output as input channels.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``; the block has many cheap
            maps, so ``"selective"`` recomputes all of it too.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *spatial)``, for any size.

    Raises:
        PlanError: if there are fewer channels than groups.

    Example:
        >>> GHPA(10, 12, dimensions=3)(torch.zeros(2, 10, 1, 6, 7)).shape
        torch.Size([2, 12, 1, 6, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        grid: int | Sequence[int] = 8,
        kernel_size: int | Sequence[int] = 3,
        maps: bool = True,
        shortcut: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        groups = dimensions + 2
        if in_channels < groups:
            raise PlanError(f"GHPA got {in_channels} channels, needs at least {groups}, one per group: use a wider plan")
        grid, kernel = per_axis(grid, dimensions), per_axis(kernel_size, dimensions)
        self.widths = [in_channels // groups + (group < in_channels % groups) for group in range(groups)]
        kept_axes = [tuple(range(dimensions))]
        kept_axes += [tuple(a for a in range(dimensions) if a != dropped) for dropped in reversed(range(dimensions))]

        ops = operations(dimensions)
        self.norm = ChannelLayerNorm(in_channels)
        self.maps = nn.ModuleList(
            HadamardMap(width, axes, dimensions=dimensions, grid=grid, kernel=kernel) if maps else nn.Identity()
            for width, axes in zip(self.widths[:-1], kept_axes, strict=True)
        )
        last = self.widths[-1]
        self.convolutions = nn.Sequential(ops.convolution(last, last, 1), nn.GELU(), ops.depthwise(last, kernel))
        self.output_norm = ChannelLayerNorm(in_channels)
        self.output = separable_convolution(in_channels, out_channels, kernel)
        self.shortcut = Shortcut() if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        recompute: Recompute = "none" if self.recompute == "none" else "full"
        return run_block(recompute, self, self._plain, self._plain, x)

    def _plain(self, x: Tensor) -> Tensor:
        groups = self.norm(x).split(self.widths, 1)
        paths = [*self.maps, self.convolutions]
        together = torch.cat([path(group) for path, group in zip(paths, groups, strict=True)], 1)
        return added(self.shortcut, x, self.output(self.output_norm(together)))
