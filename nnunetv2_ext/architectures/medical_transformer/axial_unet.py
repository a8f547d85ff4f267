"""AxialUNet and GatedAxialUNet: one branch of axial attentions."""

from typing import Any

from torch import Tensor

from nnunetv2_ext.architectures.medical_transformer.axial_attention import Position
from nnunetv2_ext.architectures.medical_transformer.branch import AxialBranch
from nnunetv2_ext.architectures.medical_transformer.network import MedicalTransformer, SegmentationHeads


class AxialUNet(MedicalTransformer):
    """The axial attention U-Net of the Medical Transformer (MICCAI 2021, arXiv 2102.10662).

    On a 2D plan of six stages for a patch of 128x128, 3 channels and 2 classes it is the published network, with 1,327,434
    parameters: 968 more, in the heads for deep supervision, and 384 less, the dead biases of logits in front of a softmax.

    Differs from the paper: nD; its layout follows the plan (see ``MedicalTransformer``); heads on the coarser stages of the
    decoder, for deep supervision; of two ReLUs in a row the second is dropped.

    Args:
        position: ``"with"`` as published, ``"gated"``, or ``"without"`` for content only.
        arguments: those of ``MedicalTransformer`` and of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first. Each axis has to be divisible by the product of the plan's strides along it:
        strides (1, 2, 2, 2) serve a patch of 40x56x40 but not of 44x56x40.

    Raises:
        PlanError: if the plan has fewer than three stages, or the heads don't divide the width.
        InputSizeError: before the first convolution, if the input doesn't fit.
    """

    def __init__(self, *, position: Position = "with", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.branch = AxialBranch(
            self.plan,
            self.layout,
            size=self.patch_size,
            layers=self.depth,
            stem_channels=self.layout.stem(),
            position=position,
            bottleneck=True,
        )
        self.decoder = SegmentationHeads(self.plan, [self.layout.channels(stage) for stage in range(self.depth + 1)])

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.branch(x))


class GatedAxialUNet(AxialUNet):
    """The gated axial attention U-Net of the Medical Transformer (arXiv 2102.10662): AxialUNet with gates.

    The published network has 64 gates, four per attention.
    """

    def __init__(self, *, position: Position = "gated", **arguments: Any) -> None:
        super().__init__(position=position, **arguments)
