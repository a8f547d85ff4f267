"""MCANet: cross-axis attention over all stages of the plan's encoder."""

from torch import Tensor
from typing_extensions import Unpack

from nnunetv2_ext.architectures.mca_net.decoder import MCADecoder
from nnunetv2_ext.architectures.network import Network
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.architectures.recompute.modes import Recompute
from nnunetv2_ext.architectures.unet.encoder import PlainConvEncoder
from nnunetv2_ext.errors import PlanError

MOST_HEADS = 8


class MCANet(Network):
    """MCANet (Shao et al., arXiv 2312.08866): an encoder and the multi-scale cross-axis attention decoder.

    The encoder is that of the plan. Its finest feature map is the paper's E1; those of all other stages, the paper's E2 to E4,
    are squeezed to as many channels as the second stage has and attended there.

    Differs from the paper: nD; the plan's encoder instead of MSCAN, norm and nonlinearity of the plan, any number of stages;
    the output has the resolution of the input, where the paper's has a quarter of it. The paper attends at the resolution of
    its E1. Here the default is that of stage 1, because nothing finer enters the attention and a volume has an eighth of the
    voxels there; ``attention_stage=0`` is the paper's wiring. The paper has one output; those of deep supervision are a
    conv k1 of the attended map, interpolated to each stage.

    Args:
        heads: heads of the attention, a divisor of the second stage's features; by default the largest up to 8.
            The paper has 8.
        attention: whether there is an attention; without it the squeezed maps pass as they are.
        attention_stage: stage of the plan at whose resolution the attention works.
        dropout: share of the channels dropped before the last convolution, in training.
        recompute: mode of activation recomputation, see ``nnunetv2_ext.architectures.recompute``;
            the attention is never recomputed, so ``"full"`` is the same as ``"selective"``.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of them, one
        per stage but the coarsest, finest first. Each axis has to be divisible by the product of the plan's strides along it:
        strides (1, 2, 2, 2) serve a patch of 40x56x40 but not of 44x56x40.

    Raises:
        PlanError: if there are fewer than two stages, no stage ``attention_stage``, or the heads don't divide the channels.
        InputSizeError: before the first convolution, if the input doesn't fit.

    Example:
        >>> plan = dict(input_channels=1, num_classes=2, n_stages=3, features_per_stage=[8, 16, 24], conv_op=nn.Conv2d)
        >>> plan |= dict(kernel_sizes=3, strides=[1, 2, 2], n_conv_per_stage=2, n_conv_per_stage_decoder=2)
        >>> MCANet(**plan)(torch.zeros(1, 1, 16, 24)).shape
        torch.Size([1, 2, 16, 24])
    """

    def __init__(
        self,
        *,
        heads: int | None = None,
        attention: bool = True,
        attention_stage: int = 1,
        dropout: float = 0.1,
        recompute: Recompute = "selective",
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        stages = self.plan.stages
        if stages < 2:
            raise PlanError(f"MCANet got a plan of {stages} stage, needs at least two: use a larger patch")
        if attention_stage not in range(stages):
            raise PlanError(f"attention_stage is {attention_stage}, the plan has stages 0 to {stages - 1}")
        width = self.plan.features[1]
        heads = heads or max(number for number in range(1, MOST_HEADS + 1) if width % number == 0)
        self.encoder = PlainConvEncoder(self.plan, recompute=recompute)
        self.decoder = MCADecoder(
            self.plan, heads=heads, attention=attention, attention_stage=attention_stage, dropout=dropout, recompute=recompute
        )

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.encoder(x))
