"""From a plan and a preset to a network."""

from collections.abc import Mapping
from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.presets import Preset


def plan_arguments(arch_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a plain U-Net in any stock plan's arch_kwargs.

    A residual-encoder plan counts blocks where a plain one counts convolutions; its stages get two convolutions, as the host's
    plain plans have. What a plan says about another network of ours is left out.
    """
    arguments = {name: value for name, value in arch_kwargs.items() if name in PlanArguments.__annotations__}
    if "n_blocks_per_stage" in arch_kwargs:
        arguments["n_conv_per_stage"] = [2] * arch_kwargs["n_stages"]
    return arguments


def network_arguments(preset: Preset, configuration: ConfigurationManager) -> dict[str, Any]:
    """What the preset's network is built with from this configuration, as a plan's arch_kwargs would hold it."""
    facts = {"region_based": configuration.configuration.get("region_based", False), "patch_size": configuration.patch_size}
    return {
        **plan_arguments(configuration.network_arch_init_kwargs),
        **preset.arguments,
        **{name: facts[name] for name in preset.plan_facts},
    }


def build_network(
    preset: Preset,
    configuration: ConfigurationManager,
    input_channels: int,
    output_channels: int,
    *,
    deep_supervision: bool,
) -> nn.Module:
    """The preset's network for this configuration, initialised.

    Raises:
        PlanError: if it can't be built from this plan.
    """
    arguments = network_arguments(preset, configuration)
    imports = [name for name in configuration.network_arch_init_kwargs_req_import if name in arguments]
    return get_network_from_plans(
        preset.network,
        arguments,
        imports,
        input_channels,
        output_channels,
        allow_init=True,
        deep_supervision=deep_supervision,
    )
