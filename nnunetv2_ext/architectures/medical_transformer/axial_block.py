"""The residual block of axial attentions."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.medical_transformer.axial_attention import AxialAttention, Position
from nnunetv2_ext.architectures.operations import operations, per_axis


class AxialBlock(nn.Module):
    """The block of the Medical Transformer (MICCAI 2021, arXiv 2102.10662).

    Convolution k1 down to ``width``, BatchNorm, ReLU, attention along one axis after the other, ReLU, convolution k1 up,
    BatchNorm; the input is added, through a strided convolution k1 and BatchNorm where size or channels change; ReLU.

    Differs from the paper: nD, with one attention per spatial axis, in order. The last one has the stride, as in 2D.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        dimensions: number of spatial dimensions.
        size: spatial size for which the position embeddings are built, one number per axis.
        width: channels of the attention, half of ``out_channels`` by default; divisible by twice the heads.
        heads: number of heads.
        position: ``"with"``, ``"gated"`` or ``"without"``.
        attention: whether there is attention; without it, only the pooling by the stride remains.
        stride: one number or one per axis.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *ceil(spatial / stride))``, for any size.

    Raises:
        PlanError: if the heads don't divide the width.

    Example:
        >>> AxialBlock(8, 16, dimensions=2, size=(6, 10), heads=2, stride=2)(torch.zeros(2, 8, 6, 10)).shape
        torch.Size([2, 16, 3, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        size: Sequence[int],
        width: int | None = None,
        heads: int = 8,
        position: Position = "with",
        attention: bool = True,
        stride: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        ops = operations(dimensions)
        width = width or out_channels // 2
        steps, one = per_axis(stride, dimensions), (1,) * dimensions
        self.down = nn.Sequential(ops.convolution(in_channels, width, 1, bias=False), ops.batch_norm(width), nn.ReLU())
        self.attentions = nn.Sequential(
            *(
                AxialAttention(
                    width,
                    width,
                    dimensions=dimensions,
                    axis=axis,
                    length=length,
                    heads=heads,
                    position=position,
                    stride=steps if axis == dimensions - 1 else one,
                )
                for axis, length in enumerate(size)
            )
        )
        if not attention:
            self.attentions = nn.Sequential(ops.average_pool(steps, steps, ceil_mode=True))
        self.up = nn.Sequential(ops.convolution(width, out_channels, 1, bias=False), ops.batch_norm(out_channels))
        self.shortcut = nn.Sequential()
        if steps != one or in_channels != out_channels:
            self.shortcut.append(ops.convolution(in_channels, out_channels, 1, stride=steps, bias=False))
            self.shortcut.append(ops.batch_norm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.attentions(self.down(x)))
        return functional.relu(self.up(inner) + self.shortcut(x))
