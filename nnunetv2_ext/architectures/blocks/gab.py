"""GAB, the group aggregation bridge, and the evidence it takes as a mask."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.blocks.shortcut import Shortcut, added
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.grouped_layer_norm import grouped_layer_norm
from nnunetv2_ext.architectures.cpu.layout import channels_first
from nnunetv2_ext.architectures.operations import operations, per_axis, resize
from nnunetv2_ext.architectures.recompute.modes import Recompute, run_block
from nnunetv2_ext.errors import PlanError

DILATIONS = (1, 2, 5, 7)


def foreground_evidence(logits: Tensor, *, region_based: bool = False) -> Tensor:
    """One channel that says how much a prediction believes in foreground, as the log-odds the published mask is.

    For softmax labels it is logsumexp(foreground logits) - background logit, which for two classes is the paper's binary
    logit; for regions (independent sigmoids) the largest of the region logits.

    Shape:
        ``(N, classes or regions, *spatial)`` to ``(N, 1, *spatial)``.
    """
    if region_based or logits.shape[1] == 1:
        return logits.amax(1, keepdim=True)
    return torch.logsumexp(logits[:, 1:], 1, keepdim=True) - logits[:, :1]


class GAB(nn.Module):
    """Group aggregation bridge of EGE-UNet (MICCAI 2023, arXiv 2307.08473).

    The deeper features, projected and resized, and the skip are split into four groups; each pair of groups, with the mask,
    goes through a layer norm and a depthwise convolution of its own dilation; layer norm and conv k1 put them
    together.

    Differs from the paper: nD; channels need not divide by four (the first groups take the remainder); an axis on which
    ``kernel_size`` is 1 has a kernel of 1 and no dilation. As in the authors' code the projection is a conv k1, where the
    paper's text says depthwise.

    Args:
        deep_channels: channels of the deeper features.
        skip_channels: channels of the skip, at least 4.
        dimensions: number of spatial dimensions.
        kernel_size: 3, or one of 1 and 3 per axis.
        dilations: of the four groups; (1, 2, 5, 7) in the paper.
        shortcut: whether it adds to the skip, see ``Shortcut``.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``; the block has many cheap
            maps, so ``"selective"`` recomputes all of it too.

    Shape:
        deep ``(N, deep_channels, *low)``, skip ``(N, skip_channels, *high)`` and mask ``(N, 1, *high)``, raw
        logits, to ``(N, skip_channels, *high)``.

    Raises:
        PlanError: if there are fewer channels than groups.

    Example:
        >>> bridge = GAB(24, 16, dimensions=2)
        >>> bridge(torch.zeros(2, 24, 4, 6), torch.zeros(2, 16, 8, 12), torch.zeros(2, 1, 8, 12)).shape
        torch.Size([2, 16, 8, 12])
    """

    def __init__(
        self,
        deep_channels: int,
        skip_channels: int,
        *,
        dimensions: int,
        kernel_size: int | Sequence[int] = 3,
        dilations: Sequence[int] = DILATIONS,
        shortcut: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        self.recompute: Recompute = recompute
        groups = len(dilations)
        if skip_channels < groups:
            raise PlanError(f"GAB got a skip of {skip_channels} channels, needs at least {groups}: use a wider plan")
        kernel = per_axis(kernel_size, dimensions)
        ops = operations(dimensions)
        self.widths = [skip_channels // groups + (group < skip_channels % groups) for group in range(groups)]

        self.project = ops.convolution(deep_channels, skip_channels, 1)
        self.groups = nn.ModuleList()
        for width, dilation in zip(self.widths, dilations, strict=True):
            channels = 2 * width + 1
            per_axis_dilation = [dilation if k > 1 else 1 for k in kernel]
            self.groups.append(nn.Sequential(ChannelLayerNorm(channels), ops.depthwise(channels, kernel, per_axis_dilation)))
        fused = 2 * skip_channels + groups
        self.output = nn.Sequential(ChannelLayerNorm(fused), ops.convolution(fused, skip_channels, 1))
        self.shortcut = Shortcut() if shortcut else None

    def forward(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        recompute: Recompute = "none" if self.recompute == "none" else "full"
        return run_block(recompute, self, self._plain, self._plain, deep, skip, mask)

    def _plain(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        deep, mask = resize(self.project(deep), skip.shape[2:]), mask.to(skip.dtype)
        even = len(set(self.widths)) == 1
        groups = self._normalised_together if even and is_eager_cpu(skip) else self._one_by_one
        return added(self.shortcut, skip, self.output(torch.cat(groups(deep, skip, mask), 1)))

    def _one_by_one(self, deep: Tensor, skip: Tensor, mask: Tensor) -> list[Tensor]:
        pairs = zip(deep.split(self.widths, 1), skip.split(self.widths, 1), strict=True)
        return [group(torch.cat((low, high, mask), 1)) for group, (low, high) in zip(self.groups, pairs, strict=True)]

    def _normalised_together(self, deep: Tensor, skip: Tensor, mask: Tensor) -> list[Tensor]:
        """The same with one layer norm for all groups, which is faster on a CPU."""
        groups: Any = self.groups
        apart, skip = (len(groups), -1), channels_first(skip)
        masks = mask.unsqueeze(1).expand(-1, len(groups), *mask.shape[1:])
        x = torch.cat((deep.unflatten(1, apart), skip.unflatten(1, apart), masks), 2)
        weight, bias = torch.stack([norm.weight for norm, _ in groups]), torch.stack([norm.bias for norm, _ in groups])
        parts = grouped_layer_norm(x, weight, bias, groups[0][0].eps).unbind(1)
        return [convolution(part) for (_, convolution), part in zip(groups, parts, strict=True)]
