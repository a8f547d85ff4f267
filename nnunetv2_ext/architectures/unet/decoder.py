"""The decoder of nnU-Net's U-Nets, optionally with group aggregation bridges over its skips."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_ext.architectures.blocks.convolution import ConvStack
from nnunetv2_ext.architectures.blocks.gab import GAB, foreground_evidence
from nnunetv2_ext.architectures.network import keep_in_graph
from nnunetv2_ext.architectures.operations import operations, resize
from nnunetv2_ext.architectures.plan import Plan
from nnunetv2_ext.architectures.recompute.lazy import FeatureMap, convolve, materialize
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.errors import PlanError


class UNetDecoder(nn.Module):
    """Transposed convolution, concatenation with the skip and the plan's convolutions, from the coarsest stage up.

    With ``gab``, a GAB refines each skip that has a prediction below it, that is all but the coarsest: it takes the next deeper
    skip, already refined, the skip itself, and as mask the evidence for foreground in the decoder's prediction one stage
    below. That prediction is trained by deep supervision, so the mask needs no head of its own.

    Args:
        plan: the plan.
        gab: whether there are bridges.
        shortcuts: whether the bridges add to the skips.
        blocks: a block behind the convolutions of some of the stages, 0 for the finest.
        region_based: whether the classes are regions (independent sigmoids).
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``.

    Shape:
        one feature map per stage, finest first, to logits ``(N, num_classes, *spatial)``: a list with one entry per stage but
        the coarsest, finest first, while ``deep_supervision`` is set, else the finest alone.

    Raises:
        PlanError: if there are bridges and fewer than three stages.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        gab: bool = False,
        shortcuts: bool = False,
        blocks: Mapping[int, nn.Module] | None = None,
        region_based: bool = False,
        recompute: Recompute = "none",
    ) -> None:
        super().__init__()
        if gab and plan.stages < 3:
            raise PlanError(
                f"GAB bridges skips that have a prediction below them, and a plan of {plan.stages} stages has none: it "
                "needs at least three stages. Use a preset without GAB, or a larger patch."
            )
        self.deep_supervision = plan.deep_supervision
        self.region_based = region_based
        ops = operations(plan.dimensions)
        # Order (coarsest first) and names are nnU-Net's: it looks for 'seg_layers' when it loads pretrained weights.
        self.transpconvs = nn.ModuleList()
        self.stages = nn.ModuleList()
        self.seg_layers = nn.ModuleList()
        self.bridges = nn.ModuleList()
        self.blocks = nn.ModuleDict({str(stage): block for stage, block in (blocks or {}).items()})
        for index, stage in enumerate(reversed(range(plan.stages - 1))):
            width, below, stride = plan.features[stage], plan.features[stage + 1], plan.strides[stage + 1]
            kernel, bias = plan.kernel_sizes[stage], plan.block_arguments["bias"]
            self.transpconvs.append(ops.transposed_convolution(below, width, stride, stride, bias=bias))
            self.stages.append(
                ConvStack(
                    plan.decoder_convolutions[index],
                    plan.convolution,
                    2 * width,
                    width,
                    kernel_size=kernel,
                    recompute=recompute,
                    **plan.block_arguments,
                )
            )
            self.seg_layers.append(plan.convolution(width, plan.num_classes, 1))
            if gab and index > 0:
                arguments: dict[str, Any] = {"kernel_size": kernel, "shortcut": shortcuts, "recompute": recompute}
                self.bridges.append(GAB(below, width, dimensions=plan.dimensions, **arguments))

    def forward(self, skips: Sequence[Tensor]) -> Tensor | list[Tensor]:
        *finer, deepest = skips
        x: FeatureMap = deepest
        predictions: list[Tensor] = []
        deeper = deepest
        for index, skip in enumerate(reversed(finer)):
            if self.bridges and index > 0:
                evidence = foreground_evidence(predictions[-1], region_based=self.region_based)
                skip = self.bridges[index - 1](deeper, skip, resize(evidence, skip.shape[2:]))
            stack: Any = self.stages[index]
            x = stack.lazy(torch.cat((convolve(self.transpconvs[index], x), skip), 1))
            stage = str(len(finer) - 1 - index)
            if stage in self.blocks:
                x = self.blocks[stage](materialize(x))
            if self.deep_supervision or self.bridges or index == len(finer) - 1:
                predictions.append(convolve(self.seg_layers[index], x))
            deeper = skip
        if self.deep_supervision:
            return predictions[::-1]
        if not self.bridges:
            return keep_in_graph(predictions[-1], self.seg_layers[:-1])
        return predictions[-1]
