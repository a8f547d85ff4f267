"""The plain U-Net that nnU-Net plans, for where there is no plans file: a patch given by hand, benchmarks, tests."""

from collections.abc import Mapping, Sequence
from pydoc import locate
from typing import Any

from nnunetv2_ext.architectures.plan import PlanArguments


def stock_architecture(
    features: Sequence[int], *, strides: Sequence[Sequence[int]], kernel_sizes: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """The ``architecture`` of a configuration in a plans file, as nnU-Net's default planner writes it.

    Args:
        features: channels of each stage.
        strides: of each stage, one number per axis.
        kernel_sizes: of each stage, one number per axis.
    """
    stages, dimensions = len(features), len(strides[0])
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(features),
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": [list(kernel) for kernel in kernel_sizes],
            "strides": [list(stride) for stride in strides],
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def stock_arguments(
    architecture: Mapping[str, Any], *, input_channels: int, num_classes: int, deep_supervision: bool = True
) -> PlanArguments:
    """What nnU-Net builds the network of an ``architecture`` with: its arguments, classes in place of their names."""
    arguments = dict(architecture["arch_kwargs"])
    for name in architecture["_kw_requires_import"]:
        arguments[name] = arguments[name] and locate(arguments[name])
    return {
        "input_channels": input_channels,
        "num_classes": num_classes,
        "deep_supervision": deep_supervision,
        **arguments,  # type: ignore[typeddict-item]
    }
