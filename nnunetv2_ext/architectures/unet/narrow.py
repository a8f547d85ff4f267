"""The plan's U-Net with a quarter of its features, which a CPU trains in minutes."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor
from typing_extensions import Unpack

from nnunetv2_ext.architectures.network import Network
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.architectures.unet.decoder import UNetDecoder
from nnunetv2_ext.architectures.unet.encoder import PlainConvEncoder

MULTIPLE = 8
"""of features, which is what vector units compute at a time"""


def narrowed(features: Sequence[int], width: float) -> tuple[int, ...]:
    """The features of each stage times ``width``, rounded to a multiple of 8 and at least 8."""
    return tuple(max(MULTIPLE, round(count * width / MULTIPLE) * MULTIPLE) for count in features)


class NarrowUNet(Network):
    """nnU-Net's PlainConvUNet, narrow: 8 features where the plan has 32, 16 where it has 64, 80 where it has 320.

    Parameters and multiply-adds are a sixteenth of those of the plan's U-Net, feature maps a quarter.

    Args:
        width: features in relation to the plan's, rounded to a multiple of 8 and at least 8.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first. Each axis has to be divisible by the product of the plan's strides along it.

    Raises:
        InputSizeError: before the first convolution, if the input doesn't fit.
    """

    def __init__(self, *, width: float = 0.25, **arguments: Unpack[PlanArguments]) -> None:
        super().__init__(**arguments)
        narrow = replace(self.plan, features=narrowed(self.plan.features, width))
        self.encoder = PlainConvEncoder(narrow)
        self.decoder = UNetDecoder(narrow)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.encoder(x))
