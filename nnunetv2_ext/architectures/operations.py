"""The operations of torch by number of spatial dimensions, so that one class serves 2D and 3D (and GHPA's maps 1D)."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_ext.architectures.cpu.convolutions import (
    Depthwise1d,
    Depthwise2d,
    Depthwise3d,
)
from nnunetv2_ext.architectures.cpu.dispatch import is_eager_cpu
from nnunetv2_ext.architectures.cpu.interpolation import LONGEST_AXIS, interpolate_by_matmul
from nnunetv2_ext.errors import PlanError


class Operations(NamedTuple):
    """What differs between 1, 2 and 3 spatial dimensions."""

    convolution: type[nn.Module]
    transposed_convolution: type[nn.Module]
    depthwise: type[nn.Module]
    batch_norm: type[nn.Module]
    instance_norm: type[nn.Module]
    average_pool: type[nn.Module]
    channel_dropout: type[nn.Module]
    interpolation: str


OPERATIONS = {
    1: Operations(
        nn.Conv1d,
        nn.ConvTranspose1d,
        Depthwise1d,
        nn.BatchNorm1d,
        nn.InstanceNorm1d,
        nn.AvgPool1d,
        nn.Dropout1d,
        "linear",
    ),
    2: Operations(
        nn.Conv2d,
        nn.ConvTranspose2d,
        Depthwise2d,
        nn.BatchNorm2d,
        nn.InstanceNorm2d,
        nn.AvgPool2d,
        nn.Dropout2d,
        "bilinear",
    ),
    3: Operations(
        nn.Conv3d,
        nn.ConvTranspose3d,
        Depthwise3d,
        nn.BatchNorm3d,
        nn.InstanceNorm3d,
        nn.AvgPool3d,
        nn.Dropout3d,
        "trilinear",
    ),
}


def operations(dimensions: int) -> Operations:
    """The operations for 1, 2 or 3 spatial dimensions.

    Raises:
        PlanError: for any other number.
    """
    if dimensions not in OPERATIONS:
        raise PlanError(f"got {dimensions} spatial dimensions, need one of {sorted(OPERATIONS)}")
    return OPERATIONS[dimensions]


def dimensions_of(convolution: type[nn.Module]) -> int:
    """The number of spatial dimensions of a convolution class, as a plan's ``conv_op`` names it.

    Raises:
        PlanError: if it is none of torch's convolutions.
    """
    for dimensions, entry in OPERATIONS.items():
        if entry.convolution is convolution:
            return dimensions
    raise PlanError(f"conv_op is {convolution}, need torch.nn.Conv2d or torch.nn.Conv3d: check the plan's arch_kwargs")


def per_axis(value: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    """A plan gives kernels and strides as one number or as one number per axis; this gives one number per axis.

    Raises:
        PlanError: if the number of numbers is not the number of axes.
    """
    values = (int(value),) * dimensions if isinstance(value, (int, Integral)) else tuple(int(v) for v in value)
    if len(values) != dimensions:
        raise PlanError(f"got {list(values)} for {dimensions} spatial dimensions, need one number per axis")
    return values


def same_padding(kernel: Sequence[int]) -> tuple[int, ...]:
    """The padding that keeps the size under an odd kernel and a stride of 1."""
    return tuple((k - 1) // 2 for k in kernel)


def resize(x: Tensor, size: Sequence[int], *, align_corners: bool = True) -> Tensor:
    """Linear interpolation of ``(N, C, *spatial)`` to ``(N, C, *size)``."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if is_eager_cpu(x) and max(x.shape[2:]) <= LONGEST_AXIS:
        return interpolate_by_matmul(x, size, align_corners=align_corners)
    mode = operations(len(size)).interpolation
    # under autocast in float32, since its gradient adds up many values, but nothing else has to be
    return functional.interpolate(x, size=list(size), mode=mode, align_corners=align_corners).to(x.dtype)
