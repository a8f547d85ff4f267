"""What a plan says about a network: the arguments of PlainConvUNet, checked and normalised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn
from typing_extensions import NotRequired, TypedDict

from nnunetv2_ext.architectures.operations import dimensions_of, per_axis
from nnunetv2_ext.descriptions.plans_json import is_count
from nnunetv2_ext.errors import InputSizeError, PlanError

Axes = int | Sequence[int]


class PlanArguments(TypedDict):
    """The arguments that every network takes, exactly those of ``PlainConvUNet``, with the values of a plan's arch_kwargs."""

    input_channels: int
    num_classes: int
    n_stages: int
    features_per_stage: int | Sequence[int]
    conv_op: type[nn.Module]
    kernel_sizes: Axes | Sequence[Axes]
    strides: Axes | Sequence[Axes]
    n_conv_per_stage: int | Sequence[int]
    n_conv_per_stage_decoder: int | Sequence[int]
    conv_bias: NotRequired[bool]
    norm_op: NotRequired[type[nn.Module] | None]
    norm_op_kwargs: NotRequired[dict[str, Any] | None]
    dropout_op: NotRequired[type[nn.Module] | None]
    dropout_op_kwargs: NotRequired[dict[str, Any] | None]
    nonlin: NotRequired[type[nn.Module] | None]
    nonlin_kwargs: NotRequired[dict[str, Any] | None]
    deep_supervision: NotRequired[bool]
    nonlin_first: NotRequired[bool]


@dataclass(frozen=True)
class Plan:
    """A plan's network arguments, normalised: one entry per stage, one number per axis.

    ``arguments`` keeps what was given, so that the stock network of the same plan can be built beside ours.
    """

    input_channels: int
    num_classes: int
    features: tuple[int, ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    convolutions: tuple[int, ...]
    decoder_convolutions: tuple[int, ...]
    convolution: type[nn.Module]
    deep_supervision: bool
    block_arguments: dict[str, Any]
    arguments: Mapping[str, Any]

    @classmethod
    def from_arguments(cls, arguments: PlanArguments) -> "Plan":
        """Checks and normalises the arguments.

        Raises:
            PlanError: if one is missing, unknown, or has the wrong number of entries, or one that is no whole number of at
                least 1, or if a kernel is even, which can't be padded to keep the size.
        """
        _check_names(arguments)
        stages = arguments["n_stages"]
        if not is_count(stages):
            raise PlanError(f"n_stages is {stages!r}, need a whole number of at least 1: check arch_kwargs")
        dimensions = dimensions_of(arguments["conv_op"])

        def per_stage(name: str, count: int) -> list[Any]:
            value = arguments[name]  # type: ignore[literal-required]
            values = list(value) if isinstance(value, (list, tuple)) else [value] * count
            if len(values) != count:
                raise PlanError(f"{name} has {len(values)} entries, need {count} for n_stages={stages}: check arch_kwargs")
            if wrong := [entry for entry in values if not _are_counts(entry)]:
                raise PlanError(f"{name} has the entry {wrong[0]!r}, need whole numbers of at least 1: check arch_kwargs")
            return values

        kernels = tuple(per_axis(kernel, dimensions) for kernel in per_stage("kernel_sizes", stages))
        if even := [kernel for kernel in kernels if any(size % 2 == 0 for size in kernel)]:
            raise PlanError(f"kernel_sizes has the entry {list(even[0])}, need odd numbers: check arch_kwargs")
        return cls(
            input_channels=arguments["input_channels"],
            num_classes=arguments["num_classes"],
            features=tuple(per_stage("features_per_stage", stages)),
            kernel_sizes=kernels,
            strides=tuple(per_axis(stride, dimensions) for stride in per_stage("strides", stages)),
            convolutions=tuple(per_stage("n_conv_per_stage", stages)),
            decoder_convolutions=tuple(per_stage("n_conv_per_stage_decoder", stages - 1)),
            convolution=arguments["conv_op"],
            deep_supervision=arguments.get("deep_supervision", False),
            block_arguments={
                "bias": arguments.get("conv_bias", False),
                "norm": arguments.get("norm_op"),
                "norm_arguments": arguments.get("norm_op_kwargs"),
                "dropout": arguments.get("dropout_op"),
                "dropout_arguments": arguments.get("dropout_op_kwargs"),
                "nonlinearity": arguments.get("nonlin"),
                "nonlinearity_arguments": arguments.get("nonlin_kwargs"),
                "nonlinearity_first": arguments.get("nonlin_first", False),
            },
            arguments=dict(arguments),
        )

    @property
    def stages(self) -> int:
        return len(self.features)

    @property
    def dimensions(self) -> int:
        return len(self.strides[0])

    @property
    def total_stride(self) -> tuple[int, ...]:
        """Ratio of the input's size to that of the coarsest feature map, per axis."""
        return tuple(prod(steps) for steps in zip(*self.strides, strict=True))

    def check_input(self, shape: Sequence[int], *, training: bool) -> None:
        """Refuses an input ``(N, C, *spatial)`` that the network can't process.

        Every axis has to be divisible by the product of the plan's strides along it. In training, the coarsest feature map
        needs more than one position, or its norm has nothing to normalise (torch's InstanceNorm refuses one position in
        evaluation, too). With strides (1, 2, 2, 2) on each axis, a patch of 40x56x40 fits, with a coarsest feature map of
        5x7x5; 44x56x40 is refused, and 48x56x40 is the next that fits.

        Raises:
            InputSizeError: if the input has other axes or channels, or a size that doesn't fit.
        """
        channels, size, step = shape[1], tuple(shape[2:]), self.total_stride
        if len(size) != self.dimensions or channels != self.input_channels:
            wanted = f"(N, {self.input_channels}, {', '.join('XYZ'[: self.dimensions])})"
            raise InputSizeError(f"got an input of shape {tuple(shape)}, need {wanted}")
        if any(s % t for s, t in zip(size, step, strict=True)):
            fitting = tuple(-(-s // t) * t for s, t in zip(size, step, strict=True))
            raise InputSizeError(
                f"got an input of size {size}, need each axis divisible by {step}, the product of the plan's strides: "
                f"use a patch of {fitting}, for instance"
            )
        if training and size == step:
            raise InputSizeError(
                f"got an input of size {size}, whose coarsest feature map has one position and can't be normalised in "
                f"training: use a patch of {tuple(2 * t for t in step)}, or a plan with fewer stages"
            )


def _are_counts(value: Any) -> bool:
    return all(map(is_count, value)) if isinstance(value, (list, tuple)) else is_count(value)


def _check_names(arguments: Mapping[str, Any]) -> None:
    missing = sorted(PlanArguments.__required_keys__ - arguments.keys())
    unknown = sorted(arguments.keys() - PlanArguments.__annotations__.keys())
    if missing or unknown:
        raise PlanError(
            "the network can't be built from this plan's arch_kwargs: "
            + "; ".join(f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names)
        )
