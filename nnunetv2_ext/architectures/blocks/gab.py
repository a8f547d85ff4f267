"""GAB, the group aggregation bridge, and the evidence it takes as a mask."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.grouped_layer_norm import grouped_layer_norm
from nnunetv2_ext.architectures.blocks.layer_norm import ChannelLayerNorm
from nnunetv2_ext.architectures.blocks.recompute import Form, in_form
from nnunetv2_ext.architectures.operations import operations, per_axis, resize
from nnunetv2_ext.architectures.processor import runs_plainly_on_a_processor
from nnunetv2_ext.errors import PlanError

DILATIONS = (1, 2, 5, 7)
FEW_CHANNELS = 64
"""up to which it pays, on a processor, to normalise all groups together"""


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
        convolution = operations(dimensions).convolution
        self.widths = [skip_channels // groups + (group < skip_channels % groups) for group in range(groups)]

        self.project = convolution(deep_channels, skip_channels, 1)
        self.groups = nn.ModuleList()
        for width, dilation in zip(self.widths, DILATIONS, strict=True):
            channels = 2 * width + mask_channels
            dilations = tuple(dilation if k > 1 else 1 for k in kernel)
            padding = tuple(d * (k - 1) // 2 for d, k in zip(dilations, kernel, strict=True))
            self.groups.append(
                nn.Sequential(
                    ChannelLayerNorm(channels),
                    convolution(channels, channels, kernel, padding=padding, dilation=dilations, groups=channels),
                )
            )
        self.fused = 2 * skip_channels + groups * mask_channels
        self.output = nn.Sequential(ChannelLayerNorm(self.fused), convolution(self.fused, skip_channels, 1))

    def forward(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        form: Form = "plain" if self.form == "plain" else "frugal"
        return in_form(form, self, self._plain, self._plain, deep, skip, mask)

    def _plain(self, deep: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        deep = resize(self.project(deep), skip.shape[2:])
        pairs = zip(deep.split(self.widths, 1), skip.split(self.widths, 1), strict=True)
        triples = [(low, high, mask) for low, high in pairs]
        together = runs_plainly_on_a_processor(skip) and self.fused <= FEW_CHANNELS
        return self.output(torch.cat((self._normalised_together if together else self._one_by_one)(triples), 1))

    def _one_by_one(self, triples: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        return [group(torch.cat(triple, 1)) for group, triple in zip(self.groups, triples, strict=True)]

    def _normalised_together(self, triples: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """The same with one layer norm for all groups, which is faster on a processor."""
        groups: Any = self.groups
        norms = [norm for norm, _ in groups]
        weight, bias = torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])
        widths = [len(norm.weight) for norm in norms]
        x = torch.cat([x.movedim(1, -1) for triple in triples for x in triple], -1)
        parts = grouped_layer_norm(x, widths, weight, bias, norms[0].eps).movedim(-1, 1).split(widths, 1)
        return [convolution(part) for (_, convolution), part in zip(groups, parts, strict=True)]
