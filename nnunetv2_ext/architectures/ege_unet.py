"""EGE-UNet, the light network: GHPA in its deep stages and GAB, fed by the decoder's own masks, over its skips."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from nnunetv2_ext.architectures.blocks.gab import GAB, foreground_evidence
from nnunetv2_ext.architectures.blocks.ghpa import GHPA
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.layout import channels_first
from nnunetv2_ext.architectures.cpu.pooling import max_pool, pooled_group_norm
from nnunetv2_ext.architectures.network import Network, keep_in_graph
from nnunetv2_ext.architectures.operations import operations, resize, same_padding
from nnunetv2_ext.architectures.plan import Plan, PlanArguments
from nnunetv2_ext.architectures.precision import norm_in_input_dtype
from nnunetv2_ext.errors import PlanError

CHANNELS = (8, 16, 24, 32, 48, 64)
GROUPS = 4


def light_channels(stages: int) -> tuple[int, ...]:
    """The published channels for six stages; fewer stages take the first ones, each further stage adds 16."""
    further = (CHANNELS[-1] + 16 * extra for extra in range(1, stages - len(CHANNELS) + 1))
    return (*CHANNELS[:stages], *further)


def main_layer(
    plan: Plan, in_channels: int, out_channels: int, *, stage: int, kernel: tuple[int, ...], maps: bool
) -> nn.Module:
    """The layer between two widths: a convolution in the finer half of the stages, a GHPA in the deeper half."""
    if stage >= plan.stages // 2:
        return GHPA(in_channels, out_channels, dimensions=plan.dimensions, kernel_size=kernel, maps=maps)
    return operations(plan.dimensions).convolution(in_channels, out_channels, kernel, padding=same_padding(kernel))


class GroupNorm(nn.GroupNorm):
    """Group norm of four groups in the dtype of its input, also under autocast."""

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_in_input_dtype(functional.group_norm, x, self.num_groups, self.weight, self.bias, self.eps)


class PooledGroupNorm(GroupNorm):
    """Group norm, then max-pooling by a stride."""

    def __init__(self, channels: int, stride: Sequence[int]) -> None:
        super().__init__(channels)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and is_eager_cpu(x):
            return pooled_group_norm(x, self.weight, self.bias, self.num_groups, self.eps, self.stride)
        return max_pool(super().forward(channels_first(x)), self.stride)


class EGEUNetEncoder(nn.Module):
    """In each stage a convolution or GHPA, group norm, max-pooling by the next stage's stride and GELU.

    The deepest stage has neither norm nor pooling, so the feature map of stage s has the resolution of stage s + 1 of the plan,
    the last two at that of the last.

    Args:
        plan: the plan.
        channels: one number per stage.
        maps: whether GHPA has its maps.

    Shape:
        ``(N, input_channels, *spatial)`` to one feature map per stage, finest first.
    """

    def __init__(self, plan: Plan, channels: Sequence[int], *, maps: bool = True) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        widths = (plan.input_channels, *channels)
        for stage, kernel in enumerate(plan.kernel_sizes):
            layers = [main_layer(plan, *widths[stage : stage + 2], stage=stage, kernel=kernel, maps=maps)]
            if stage < plan.stages - 1:
                layers.append(PooledGroupNorm(channels[stage], plan.strides[stage + 1]))
            self.stages.append(nn.Sequential(*layers, nn.GELU()))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class EGEUNetDecoder(nn.Module):
    """In each stage GHPA or a convolution, group norm, interpolation to the skip and GELU; the bridged skip is added.

    A conv k1 predicts the classes from each stage before its skip is added. The evidence for foreground in that prediction is
    the mask of the GAB that refines the skip, together with the next deeper skip as refined.

    Args:
        plan: the plan.
        channels: one number per stage.
        maps: whether GHPA has its maps.
        bridges: whether GABs refine the skips.
        masks: whether the GABs get a mask; they get zeros otherwise.
        region_based: whether the classes are regions.

    Shape:
        the encoder's feature maps and the size of the input to logits ``(N, num_classes, *size)``; with ``deep_supervision``
        a list of the logits and the predictions at the resolution of stages 1 to n_stages - 2. The prediction at the coarsest
        resolution, which nnU-Net has no target for, is trained through the bridge it feeds.
    """

    def __init__(
        self,
        plan: Plan,
        channels: Sequence[int],
        *,
        maps: bool = True,
        bridges: bool = True,
        masks: bool = True,
        region_based: bool = False,
    ) -> None:
        super().__init__()
        self.deep_supervision = plan.deep_supervision
        self.region_based = region_based
        self.masks = bridges and masks
        # Order (coarsest first) and names are nnU-Net's: it looks for 'seg_layers' when it loads pretrained weights.
        self.stages = nn.ModuleList()
        self.seg_layers = nn.ModuleList()
        self.bridges = nn.ModuleList()
        convolution = operations(plan.dimensions).convolution
        coarsest = plan.stages - 1
        for stage in range(coarsest, 0, -1):
            deep, width = channels[stage], channels[stage - 1]
            kernel = plan.kernel_sizes[min(stage + 1, coarsest)]  # the layer works before the interpolation
            layer = main_layer(plan, deep, width, stage=stage, kernel=kernel, maps=maps)
            self.stages.append(nn.Sequential(layer, GroupNorm(width)))
            untrained = stage == coarsest and not self.masks
            self.seg_layers.append(nn.Identity() if untrained else convolution(width, plan.num_classes, 1))
            if bridges:
                self.bridges.append(GAB(deep, width, dimensions=plan.dimensions, kernel_size=plan.kernel_sizes[stage]))
        self.seg_layers.append(convolution(channels[0], plan.num_classes, 1))

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor | list[Tensor]:
        predictions = self.predict(maps, size)
        if self.deep_supervision:
            return predictions[:0:-1]
        return predictions[-1] if self.masks else keep_in_graph(predictions[-1], self.seg_layers[:-1])

    def predict(self, maps: Sequence[Tensor], size: Sequence[int]) -> list[Tensor]:
        """The predictions of all stages, coarsest first and each at its own resolution, and the output, at ``size``."""
        *skips, x = maps
        deeper = x
        predictions = []
        for index, skip in enumerate(reversed(skips)):
            x = functional.gelu(resize(self.stages[index](x), skip.shape[2:]))
            predictions.append(self.seg_layers[index](x))
            if self.bridges:
                mask = foreground_evidence(predictions[-1], region_based=self.region_based) if self.masks else None
                skip = self.bridges[index](deeper, skip, torch.zeros_like(skip[:, :1]) if mask is None else mask)
            x = x + skip
            deeper = skip
        return [*predictions, resize(self.seg_layers[-1](x), size)]


class EGEUNet(Network):
    """EGE-UNet (Ruan et al., MICCAI 2023, arXiv 2307.08473): 53,374 parameters in 2D at 3 input channels and 1 class.

    Six stages of 8, 16, 24, 32, 48 and 64 channels, the first three of convolutions, the last three of GHPA, and a decoder
    that mirrors them. Strides, kernels and the number of stages are the plan's; channels, norm and nonlinearity are its own.
    S stages take the first S widths, and 16 more for each beyond the sixth; GHPA is in stages S // 2 and deeper.

    Differs from the paper: nD; logits instead of sigmoids; the predictions that serve as masks have ``num_classes`` channels,
    brought to one by ``foreground_evidence``, where the paper's have one; the prediction at the coarsest resolution gets no
    loss of its own, because nnU-Net has no target for it.

    Args:
        channels: one number per stage, divisible by 4; the published widths by default.
        maps: whether GHPA has its Hadamard maps.
        bridges: whether GABs refine the skips.
        masks: whether predictions feed the GABs.
        region_based: whether the classes are regions.
        arguments: those of PlainConvUNet.

    Shape:
        ``(N, input_channels, *spatial)`` to logits ``(N, num_classes, *spatial)``; with deep supervision a list of
        n_stages - 1 of them at the resolutions of stages 0 to n_stages - 2, finest first. Each axis has to be divisible by
        the product of the plan's strides along it: strides (1, 2, 2, 2) serve a patch of 40x56x40 but not of 44x56x40.

    Raises:
        PlanError: if there are fewer than two stages, or ``channels`` doesn't fit the plan, the group norm or GHPA.
        InputSizeError: before the first convolution, if the input doesn't fit.

    Example:
        >>> plan = dict(input_channels=3, num_classes=1, n_stages=6, features_per_stage=32, conv_op=nn.Conv2d, kernel_sizes=3)
        >>> plan |= dict(strides=[1, 2, 2, 2, 2, 2], n_conv_per_stage=2, n_conv_per_stage_decoder=2)
        >>> EGEUNet(**plan)(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] | None = None,
        maps: bool = True,
        bridges: bool = True,
        masks: bool = True,
        region_based: bool = False,
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        plan = self.plan
        if plan.stages < 2:
            raise PlanError(f"EGEUNet got a plan of {plan.stages} stage, needs at least two: use a larger patch")
        channels = light_channels(plan.stages) if channels is None else channels
        if len(channels) != plan.stages or any(width % GROUPS for width in channels):
            raise PlanError(
                f"EGEUNet got channels {list(channels)} for {plan.stages} stages, needs one number per stage, each divisible "
                f"by {GROUPS}: leave them out for {list(light_channels(plan.stages))}"
            )
        self.encoder = EGEUNetEncoder(plan, channels, maps=maps)
        self.decoder = EGEUNetDecoder(plan, channels, maps=maps, bridges=bridges, masks=masks, region_based=region_based)

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """The published initialisation: normal weights of variance 2 / fan-out, no bias but in GHPA's maps along one axis."""
        if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return
        one_axis = isinstance(module, nn.Conv1d)  # where the authors count all groups and leave the bias to torch
        fan_out = prod(module.kernel_size) * module.out_channels // (1 if one_axis else module.groups)
        nn.init.normal_(module.weight, 0, sqrt(2 / fan_out))
        if module.bias is not None and not one_axis:
            nn.init.zeros_(module.bias)

    def check_input(self, shape: Sequence[int]) -> None:
        # group norm normalises over channels too, so one position is enough in training
        self.plan.check_input(shape, training=False)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.check_input(x.shape)
        return self.decoder(self.encoder(x), x.shape[2:])
