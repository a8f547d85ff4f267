"""MBTFE, the multi-branch feature extraction block."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.shortcut import Shortcut, added
from nnunetv2_ext.architectures.operations import operations, per_axis, same_padding
from nnunetv2_ext.architectures.recompute.lazy import plain_weighted_sum, weighted_sum
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.architectures.recompute.norm_activation import lazy_chain


class Unit(nn.Sequential):
    """Convolution that keeps the size, norm, and PReLU with one slope per channel."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Sequence[int], norm: Callable[[int], nn.Module] | None = None
    ) -> None:
        super().__init__()
        ops = operations(len(kernel))
        self.conv = ops.convolution(in_channels, out_channels, tuple(kernel), padding=same_padding(kernel))
        self.norm = (norm or ops.batch_norm)(out_channels)
        self.activation = nn.PReLU(out_channels)


class MBTFE(nn.Module):
    """Multi-branch feature extraction: four branches of growing receptive field, weighted per sample.

    The branches are one convolution k1, one k3, two k3 (a 5-neighbourhood) and three k3 (a 7-neighbourhood), each
    convolution followed by a norm and a PReLU. The global average of their sum goes through two linear layers with nothing
    between them and a softmax, which gives one weight per branch.

    From the nnU-Net modification notes (their second version; the first takes 4 of C softmax weights). Differs: nD, and an
    axis on which ``kernel_size`` is 1 has a kernel of 1.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, at least 2.
        dimensions: number of spatial dimensions.
        kernel_size: kernel of the 3-convolutions, one number or one per axis.
        norm: makes the norm after each convolution from its channels; BatchNorm by default, as in the notes.
        shortcut: whether it adds to its input, see ``Shortcut``; needs as many output as input channels.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        ``(N, in_channels, *spatial)`` to ``(N, out_channels, *spatial)``. With BatchNorm in training mode,
        N x spatial has to hold more than one value.

    Example:
        >>> MBTFE(4, 8, dimensions=3)(torch.zeros(2, 4, 5, 6, 7)).shape
        torch.Size([2, 8, 5, 6, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        kernel_size: int | Sequence[int] = 3,
        norm: Callable[[int], nn.Module] | None = None,
        shortcut: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        kernel, point = per_axis(kernel_size, dimensions), per_axis(1, dimensions)
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(Unit(out_channels if index else in_channels, out_channels, branch_kernel, norm) for index in range(length))
            )
            for length, branch_kernel in ((1, point), (1, kernel), (2, kernel), (3, kernel))
        )
        self.squeeze = nn.Linear(out_channels, out_channels // 2)
        self.excite = nn.Linear(out_channels // 2, len(self.branches))
        self.shortcut = Shortcut() if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        return run_block(self.recompute, self, self._plain, self._lazy, x)

    def _plain(self, x: Tensor) -> Tensor:
        return added(self.shortcut, x, plain_weighted_sum(self._weigh, [branch(x) for branch in self.branches]))

    def _lazy(self, x: Tensor) -> Tensor:
        outputs = [lazy_chain(branch, x) for branch in self.branches]
        parameters = [*self.squeeze.parameters(), *self.excite.parameters()]
        return added(self.shortcut, x, weighted_sum(self._weigh, parameters, outputs))

    def _weigh(self, average: Tensor) -> Tensor:
        return torch.softmax(self.excite(self.squeeze(average)), dim=1)
