"""What the networks of the Medical Transformer share."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from typing_extensions import Unpack

from nnunetv2_ext.architectures.medical_transformer.attention_gates import AttentionGates
from nnunetv2_ext.architectures.medical_transformer.branch import Layout
from nnunetv2_ext.architectures.network import Network, keep_in_graph
from nnunetv2_ext.architectures.operations import operations, per_axis
from nnunetv2_ext.architectures.plan import Plan, PlanArguments
from nnunetv2_ext.errors import PlanError

PUBLISHED_PATCH = 128


class SegmentationHeads(nn.Module):
    """A head k1 per stage of the plan but the coarsest.

    Args:
        plan: the plan.
        channels: channels of the feature maps, finest first; there may be fewer maps than stages with a head.

    Shape:
        feature maps, finest first, to logits: a list with one entry per stage but the coarsest, finest first, while
        ``deep_supervision`` is set, else the finest alone. A stage without a feature map takes the coarsest one,
        averaged to its resolution.
    """

    def __init__(self, plan: Plan, channels: Sequence[int]) -> None:
        super().__init__()
        self.deep_supervision = plan.deep_supervision
        self.pools = nn.ModuleList(
            operations(plan.dimensions).average_pool(stride, stride) for stride in plan.strides[len(channels) : -1]
        )
        widths = [*channels, *[channels[-1]] * len(self.pools)]
        self.seg_layers = nn.ModuleList(plan.convolution(width, plan.num_classes, 1) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> Tensor | list[Tensor]:
        if not self.deep_supervision:
            return keep_in_graph(self.seg_layers[0](features[0]), self.seg_layers[1:])
        maps = list(features)
        for pool in self.pools:
            maps.append(pool(maps[-1]))
        return [head(x) for head, x in zip(self.seg_layers, maps, strict=True)]


class MedicalTransformer(Network):
    """A network of axial attentions: the base of the paper's four networks.

    The published layout is that of a plan with six stages and strides of 2, such as nnU-Net's for 128x128: the stem leads to
    stage 1, there is a layer of blocks in each of the stages 1 to 4, and a bottleneck in stage 5. A plan of S stages has its
    layers in the stages 1 to S - 2 and the bottleneck in stage S - 1. With fewer than six stages the last of the published
    layers are left out; with more, further layers have as many blocks as the last and are as wide as the fourth.

    Args:
        patch_size: the plan's patch, for which the position embeddings are built; 128 per axis, as published, if None.
            For inputs of another size they are interpolated.
        layers: blocks per layer.
        heads: number of heads.
        width: factor for all widths except the one inside the stem, which is 128.
        attention: whether the blocks have attention.
        arguments: those of PlainConvUNet. The plan's features, numbers of convolutions, norm and nonlinearity are not used:
            the network has the published ones.

    Raises:
        PlanError: if the plan has fewer than three stages.
    """

    def __init__(
        self,
        *,
        patch_size: int | Sequence[int] | None = None,
        layers: Sequence[int] = (1, 2, 4, 1),
        heads: int = 8,
        width: float = 0.125,
        attention: bool = True,
        **arguments: Unpack[PlanArguments],
    ) -> None:
        super().__init__(**arguments)
        if self.plan.stages < 3:
            raise PlanError(
                f"{type(self).__name__} got a plan of {self.plan.stages} stages, needs at least three, for its stem, a layer "
                "of attention and its bottleneck: use a larger patch, or another preset"
            )
        self.patch_size = per_axis(PUBLISHED_PATCH if patch_size is None else patch_size, self.plan.dimensions)
        self.layout = Layout(tuple(layers), heads, width, attention)
        self.depth = self.plan.stages - 2

    @property
    def gates_frozen(self) -> bool:
        """Whether the gates get a gradient of zero, as they do in the first epochs of the published training.

        Setting it freezes or releases all gates; a network without gates ignores it.
        """
        return any(gates.frozen for gates in self._gates())

    @gates_frozen.setter
    def gates_frozen(self, frozen: bool) -> None:
        for gates in self._gates():
            gates.frozen = frozen

    def gates(self) -> Iterator[nn.Parameter]:
        """The parameters that ``gates_frozen`` is about, four per gated attention."""
        for gates in self._gates():
            yield from gates.parameters()

    def _gates(self) -> list[AttentionGates]:
        return [module for module in self.modules() if isinstance(module, AttentionGates)]

    def check_input(self, shape: Sequence[int]) -> None:
        # BatchNorm in training needs two values per channel, which two samples give at any size.
        self.plan.check_input(shape, training=self.training and shape[0] == 1)
