"""GAB, the group aggregation bridge, and the evidence it takes as a mask."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.blocks.recompute import Form, in_form
from nnunetv2_ext.architectures.operations import operations, per_axis, resize
from nnunetv2_ext.architectures.processor.layout import runs_plainly_on_a_processor
from nnunetv2_ext.architectures.processor.normalised_groups import convolve_normalised_groups
from nnunetv2_ext.architectures.processor.normalised_product import convolve_normalised
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
    goes through a layer norm and a depthwise convolution of its own dilation (1, 2, 5, 7); layer norm and conv k1 put them
    together.

    Differs from the paper: nD; channels need not divide by four (the first groups take the remainder); an axis on which
    ``kernel_size`` is 1 has a kernel of 1 and no dilation. As in the authors' code the projection is a conv k1, where the
    paper's text says depthwise.

    Args:
        deep_channels: channels of the deeper features.
        skip_channels: channels of the skip, at least 4.
        mask_channels: channels of the mask, 1 in the paper.
        dimensions: number of spatial dimensions.
        kernel_size: 3, or one of 1 and 3 per axis.
        form: how a training step is computed, see ``MBTFE``; its maps are many and cheap, so ``"fast"`` repeats it too.

    Shape:
        deep ``(N, deep_channels, *low)``, skip ``(N, skip_channels, *high)`` and mask ``(N, mask_channels, *high)``, raw
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
        mask_channels: int = 1,
        kernel_size: int | Sequence[int] = 3,
        form: Form = "plain",
    ) -> None:
        super().__init__()
        self.form: Form = form
        groups = len(DILATIONS)
        if skip_channels < groups:
            raise PlanError(f"GAB got a skip of {skip_channels} channels, needs at least {groups}: use a wider plan")
        kernel = per_axis(kernel_size, dimensions)
        ops = operations(dimensions)
        self.widths = [skip_channels // groups + (group < skip_channels % groups) for group in range(groups)]

        self.project = ops.pointwise(deep_channels, skip_channels)
        self.groups = nn.ModuleList()
        for width, dilation in zip(self.widths, DILATIONS, strict=True):
            channels = 2 * width + mask_channels
            dilations = [dilation if k > 1 else 1 for k in kernel]
            self.groups.append(nn.Sequential(ChannelLayerNorm(channels), ops.depthwise(channels, kernel, dilations)))
        self.fused = 2 * skip_channels + groups * mask_channels
        self.output = nn.Sequential(ChannelLayerNorm(self.fused), ops.pointwise(self.fused, skip_channels))

    def forward(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        form: Form = "plain" if self.form == "plain" else "frugal"
        return in_form(form, self, self._plain, self._plain, deep, skip, mask)

    def _plain(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        deep = resize(self.project(deep), skip.shape[2:])
        if len(set(self.widths)) == 1 and runs_plainly_on_a_processor(skip):
            return self._by_functions(deep, skip, mask)
        pairs = zip(deep.split(self.widths, 1), skip.split(self.widths, 1), strict=True)
        groups = [group(torch.cat((low, high, mask), 1)) for group, (low, high) in zip(self.groups, pairs, strict=True)]
        return self.output(torch.cat(groups, 1))

    def _by_functions(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        """The same for a processor, all groups at once, and each norm together with what follows it."""
        norms, convolutions = zip(*self.groups, strict=True)
        x = convolve_normalised_groups((deep, skip, mask), norms, convolutions)
        norm, pointwise = self.output
        return convolve_normalised(x, norm.weight, norm.bias, norm.eps, pointwise.weight, pointwise.bias)
