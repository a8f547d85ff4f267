"""Layer norm and depthwise convolution of several groups of channels, in one function."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nnunetv2_ext.architectures.processor import depthwise
from nnunetv2_ext.architectures.processor.layout import layout_of


def convolve_normalised_groups(sources: Sequence[Tensor], norms: Sequence[Any], convolutions: Sequence[Any]) -> Tensor:
    """Layer norm over the channels of each group, at each position by itself, and a depthwise convolution of each group.

    On a processor torch's layer norm, which wants the channels of a position beside each other, takes as long for a few of
    them as for many. Here the positions lie beside each other, and one matrix product puts the channels of all groups together
    and takes their mean away.

    Args:
        sources: ``(N, channels, *spatial)`` each. Of the last each group takes all channels, of the others its part of them,
            as many as the other groups.
        norms: a layer norm per group.
        convolutions: a depthwise convolution per group.

    Shape:
        ``(N, all groups' channels, *spatial)``.
    """
    parameters = [
        *(norm.weight for norm in norms),
        *(norm.bias for norm in norms),
        *(convolution.weight for convolution in convolutions),
        *(convolution.bias for convolution in convolutions),
    ]
    dilations = [convolution.dilation for convolution in convolutions]
    return _NormalisedGroups.apply(dilations, norms[0].eps, len(sources), *sources, *parameters)


class _NormalisedGroups(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dilations: Sequence[Sequence[int]], eps: float, count: int, *tensors: Tensor) -> Tensor:
        groups, sources, parameters = len(dilations), tensors[:count], tensors[count:]
        weights, biases, kernels, shifts = (parameters[start : start + groups] for start in range(0, 4 * groups, groups))
        rows = torch.cat([source.flatten(2) for source in sources], 1)
        samples, _, positions = rows.shape
        together, mean = _matrices(tuple(source.shape[1] for source in sources), groups, rows.dtype)
        centred = torch.bmm(together.expand(samples, -1, -1), rows)
        variance = torch.bmm(mean.expand(samples, -1, -1), centred.square())
        inverse_deviation = variance.add_(eps).rsqrt_().unsqueeze(2)
        normalised = centred.view(samples, groups, -1, positions).mul_(inverse_deviation)
        weight, bias = (torch.cat(some).view(groups, -1, 1) for some in (weights, biases))
        # a group's samples beside each other, as its convolution will have them
        scaled = normalised.new_empty(groups, samples, *normalised.shape[2:])
        torch.addcmul(bias, normalised, weight, out=scaled.transpose(0, 1))
        parts = scaled.view(groups, samples, -1, *sources[0].shape[2:])
        y, *kept = zip(*map(depthwise.convolve, parts, kernels, shifts, dilations), strict=True)
        ctx.dilations, ctx.kernels = dilations, [kernel.shape[2:] for kernel in kernels]
        ctx.sources = [(source.shape, layout_of(source)) for source in sources]
        ctx.save_for_backward(together, mean, normalised, inverse_deviation, weight, *kept[0], *kept[1])
        return torch.cat(y, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        together, mean, normalised, inverse_deviation, weight, *others = ctx.saved_tensors
        samples, groups, channels, positions = normalised.shape
        parts = gradient.view(samples, groups, channels, *gradient.shape[2:]).transpose(0, 1).contiguous()
        steps = zip(parts, others[:groups], others[groups:], ctx.kernels, ctx.dilations, strict=True)
        of_scaled, of_kernels = zip(*(depthwise.gradients(*step, (True, True)) for step in steps), strict=True)
        of_shifts = gradient.flatten(2).sum((0, 2)).view(groups, channels)
        of_scaled = torch.stack(of_scaled, 1).view(normalised.shape)
        of_bias = of_scaled.sum((0, 3))
        product = of_scaled * normalised
        of_weight = product.sum((0, 3))
        slope = torch.bmm((mean * weight.view(-1)).expand(samples, -1, -1), product.view(samples, -1, positions))
        of_centred = of_scaled.mul_(weight).addcmul_(normalised, slope.unsqueeze(2), value=-1).mul_(inverse_deviation)
        of_rows = torch.bmm(together.T.expand(samples, -1, -1), of_centred.view(samples, -1, positions))
        of_sources = of_rows.split([shape[1] for shape, _ in ctx.sources], 1)
        return (
            *(None, None, None),
            *(
                part.view(shape).contiguous(memory_format=layout)
                for part, (shape, layout) in zip(of_sources, ctx.sources, strict=True)
            ),
            *(*of_weight, *of_bias, *of_kernels, *of_shifts),
        )


@lru_cache(maxsize=256)
def _matrices(widths: tuple[int, ...], groups: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``(all groups' channels, sum of widths)``, a group's channels less their mean, and ``(groups, ...)``, the mean."""
    *apart, shared = widths
    channels = sum(width // groups for width in apart) + shared
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(sum(widths), dtype=dtype)
        *parts, of_all = identity.split(widths)
        rows = [row for group in zip(*(part.chunk(groups) for part in parts), strict=True) for row in (*group, of_all)]
        mean = torch.eye(groups, dtype=dtype).repeat_interleave(channels, 1) / channels
        together = torch.cat(rows)
        return together - (mean.T * channels) @ (mean @ together), mean
