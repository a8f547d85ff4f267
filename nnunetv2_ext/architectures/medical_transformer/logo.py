"""LoGo and MedT: a shallow global branch and a deep branch over local patches."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_ext.architectures.medical_transformer.axial_attention import Position
from nnunetv2_ext.architectures.medical_transformer.branch import AxialBranch, convolution_of, shrink
from nnunetv2_ext.architectures.medical_transformer.local_patches import join_patches, split_into_patches
from nnunetv2_ext.architectures.medical_transformer.network import MedicalTransformer, SegmentationHeads
from nnunetv2_ext.architectures.operations import per_axis, resize
from nnunetv2_ext.errors import InputSizeError, PlanError

PUBLISHED_GRID = 4
GLOBAL_LAYERS = 2


class LoGo(MedicalTransformer):
    """The local-global network of the Medical Transformer (MICCAI 2021, arXiv 2102.10662).

    A shallow branch of two layers, without a bottleneck, processes the whole input; a deep branch processes a grid of local
    patches. Their features are added and go through a convolution to the head.

    On a 2D plan of six stages for a patch of 128x128, 3 channels and 2 classes it is the published network, with 1,529,938
    parameters: 968 more, in the heads for deep supervision, and 562 fewer, which are dead in the published code: 528 biases
    of logits in front of a softmax and 34 in a head that is never called. As published, the local stem is as wide as the
    global branch's last layer.

    Differs from the paper: nD; its layout follows the plan (see ``MedicalTransformer``); the patches are one batch of the
    local branch, so that BatchNorm sees all of them, where the published code takes one after another; heads on the coarser
    stages, which take the sum of the branches, or the local branch where the global one doesn't reach; patches that a
    stride doesn't divide are rounded up.

    Args:
        position: in the global branch, ``"with"``, ``"gated"`` or ``"without"``.
        local_position: the same in the local branch.
        local: whether there is a local branch. Without it, stages that the global branch doesn't reach take its coarsest
            feature map, averaged.
        local_grid: local patches per axis. By default 4 as published, or the next smaller number that divides the axis and
            leaves two positions to the last layer.
        patches_together: whether the patches are one batch. If not, they run one after another, as in the published code: in
            training each is normalised by itself and updates the running statistics; in evaluation the result is the same.
        arguments: those of ``MedicalTransformer`` and of PlainConvUNet.

    Shape:
        as AxialUNet; if ``local_grid`` is given, each axis has to be divisible by it, too.

    Raises:
        PlanError: if the plan has fewer than three stages, the heads don't divide the width, or ``local_grid`` not the patch.
        InputSizeError: before the first convolution, if the input doesn't fit.
    """

    def __init__(
        self,
        *,
        position: Position = "with",
        local_position: Position = "with",
        local: bool = True,
        local_grid: int | Sequence[int] | None = None,
        patches_together: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        plan, layout, global_layers = self.plan, self.layout, min(GLOBAL_LAYERS, self.depth)
        self.global_branch = AxialBranch(
            plan,
            layout,
            size=self.patch_size,
            layers=global_layers,
            stem_channels=layout.stem(),
            position=position,
            bottleneck=False,
        )
        self.patches_together = patches_together
        self.local_grid = None if local_grid is None else per_axis(local_grid, plan.dimensions)
        grid = self.grid_of(self.patch_size)
        if not divides(grid, self.patch_size):
            raise PlanError(
                f"a patch of {self.patch_size} has no grid of {grid} equal local patches: use numbers that divide it, or leave "
                "the grid to the network"
            )
        self.local_branch: AxialBranch | None = None
        if local:
            self.local_branch = AxialBranch(
                plan,
                layout,
                size=shrink(self.patch_size, grid),
                layers=self.depth,
                stem_channels=layout.channels(global_layers),
                position=local_position,
                bottleneck=True,
            )
        reached = self.depth if local else global_layers
        self.decoder = SegmentationHeads(plan, [layout.channels(stage) for stage in range(reached + 1)])
        self.fuse = convolution_of(plan, 0, layout.channels(0), layout.channels(0))

    def grid_of(self, size: Sequence[int]) -> tuple[int, ...]:
        """Local patches per axis for an input of this size."""
        if self.local_grid is not None:
            return self.local_grid
        reach = [prod(steps[:-1]) for steps in zip(*self.plan.strides, strict=True)]
        return tuple(largest_grid(length, step) for length, step in zip(size, reach, strict=True))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        features = self.global_branch(x)
        if self.local_branch is not None:
            local = self.local_features(self.local_branch, x)
            both = [one + other for one, other in zip(features, local, strict=False)]
            features = both + local[len(both) :]
        return self.decoder([functional.relu(self.fuse(features[0])), *features[1:]])

    def check_input(self, shape: Sequence[int]) -> None:
        super().check_input(shape)
        size = tuple(shape[2:])
        if self.local_branch is not None and not divides(self.grid_of(size), size):
            raise InputSizeError(
                f"got an input of size {size}, need each axis divisible by {self.local_grid}, the grid of local patches: use a "
                f"patch of {self.patch_size}, for which the network was built"
            )

    def local_features(self, branch: AxialBranch, x: Tensor) -> list[Tensor]:
        """The feature maps of the local branch, finest first, each joined from the patches to one map per sample."""
        grid = self.grid_of(x.shape[2:])
        patches = split_into_patches(x, grid)
        batches = [patches] if self.patches_together else patches.chunk(prod(grid))
        outputs = [branch(batch) for batch in batches]
        features, size = [], tuple(x.shape[2:])
        for stride, maps in zip(self.plan.strides, zip(*outputs, strict=True), strict=False):
            size = shrink(size, stride)
            features.append(resize(join_patches(torch.cat(maps), grid), size, align_corners=False))
        return features


class MedT(LoGo):
    """MedT (MICCAI 2021, arXiv 2102.10662): LoGo with gates in the global branch and no position in the local one.

    On a 2D plan of six stages for a patch of 128x128, 3 channels and 2 classes it is the published network, with 1,525,266
    parameters: 968 more, in the heads for deep supervision, and 35,842 fewer, which are dead in the published code: 35,536 in
    a convolution of each local block and 34 in a head, which are never called, and 272 biases of logits in front of a softmax.
    """

    def __init__(self, *, position: Position = "gated", local_position: Position = "without", **arguments: Any) -> None:
        super().__init__(position=position, local_position=local_position, **arguments)


def divides(grid: Sequence[int], size: Sequence[int]) -> bool:
    return not any(length % count for length, count in zip(size, grid, strict=True))


def largest_grid(length: int, reach: int) -> int:
    """The largest number of patches, up to 4, that divides an axis and leaves two positions of the last layer to each."""
    fitting = [n for n in range(2, PUBLISHED_GRID + 1) if length % n == 0 and length // n >= 2 * reach]
    return max(fitting, default=1)
