"""nnU-Net's convolution block (convolution, dropout, norm, nonlinearity), with each tensor under one state-dict key."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from nnunetv2_ext.architectures.operations import dimensions_of, per_axis, same_padding
from nnunetv2_ext.architectures.recompute.lazy import FeatureMap, materialize
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.architectures.recompute.norm_activation import lazy_chain


class ConvBlock(nn.Sequential):
    """Convolution, dropout, norm and nonlinearity of a plan.

    The same mathematics as ``ConvDropoutNormReLU`` of dynamic-network-architectures, which registers its convolution and
    norm twice; here each has one name (``conv``, ``norm``).

    Args:
        convolution: ``torch.nn.Conv2d`` or ``torch.nn.Conv3d``.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd, one number or one per axis; the padding keeps the size.
        stride: one number or one per axis.
        groups: groups of the convolution.
        bias: whether the convolution has one.
        norm: class of the norm, or None for none.
        nonlinearity: class of the nonlinearity, or None for none.
        nonlinearity_first: nonlinearity before the norm.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *ceil(spatial / stride))``.
    """

    def __init__(
        self,
        convolution: type[nn.Module],
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = False,
        norm: type[nn.Module] | None = None,
        norm_arguments: dict[str, Any] | None = None,
        dropout: type[nn.Module] | None = None,
        dropout_arguments: dict[str, Any] | None = None,
        nonlinearity: type[nn.Module] | None = None,
        nonlinearity_arguments: dict[str, Any] | None = None,
        nonlinearity_first: bool = False,
    ) -> None:
        super().__init__()
        dimensions = dimensions_of(convolution)
        kernel = per_axis(kernel_size, dimensions)
        self.conv = convolution(
            in_channels,
            out_channels,
            kernel,
            stride=per_axis(stride, dimensions),
            padding=same_padding(kernel),
            groups=groups,
            bias=bias,
        )
        if dropout is not None:
            self.dropout = dropout(**(dropout_arguments or {}))
        after: dict[str, nn.Module] = {}
        if norm is not None:
            after["norm"] = norm(out_channels, **(norm_arguments or {}))
        if nonlinearity is not None:
            after["nonlinearity"] = nonlinearity(**(nonlinearity_arguments or {}))
        for name in reversed(after) if nonlinearity_first else after:
            self.add_module(name, after[name])


class ConvStack(nn.Sequential):
    """``count`` convolution blocks in a row, the first with the stride: one stage of a plan.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *ceil(spatial / stride))``.
    """

    def __init__(
        self,
        count: int,
        convolution: type[nn.Module],
        in_channels: int,
        out_channels: int,
        *,
        stride: int | Sequence[int] = 1,
        recompute: Recompute = "none",
        **block_arguments: Any,
    ) -> None:
        super().__init__(
            *(
                ConvBlock(
                    convolution,
                    out_channels if index else in_channels,
                    out_channels,
                    stride=1 if index else stride,
                    **block_arguments,
                )
                for index in range(count)
            )
        )
        self.recompute: Recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        return materialize(self.lazy(x))

    def lazy(self, x: Tensor) -> FeatureMap:
        """The same as a lazy feature map, if the block recomputes."""
        recompute: Recompute = "none" if self.recompute == "none" else "selective"
        return run_block(recompute, self, super().forward, partial(lazy_chain, self), x)
