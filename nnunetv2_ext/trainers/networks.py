"""From a plan and a preset to a network."""

import inspect
import pydoc
from collections.abc import Callable, Mapping
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_ext.architectures.network import Network
from nnunetv2_ext.architectures.plan import PlanArguments
from nnunetv2_ext.errors import ExtensionError, PlanError, PresetError
from nnunetv2_ext.presets import Preset
from nnunetv2_ext.presets.user import place_of


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, inside of what nnU-Net wraps it in for several GPUs and for compilation."""
    network = network.module if isinstance(network, DistributedDataParallel) else network
    return network._orig_mod if isinstance(network, OptimizedModule) else network


def plan_arguments(arch_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a plain U-Net in any stock plan's arch_kwargs.

    A residual-encoder plan counts blocks where a plain one counts convolutions; its stages get two convolutions, as nnU-Net's
    plain plans have. What a plan says about another network of ours is left out.
    """
    arguments = {name: value for name, value in arch_kwargs.items() if name in PlanArguments.__annotations__}
    if "n_blocks_per_stage" in arch_kwargs and isinstance(arch_kwargs.get("n_stages"), int):
        arguments["n_conv_per_stage"] = [2] * arch_kwargs["n_stages"]
    return arguments


def network_arguments(preset: Preset, configuration: ConfigurationManager) -> dict[str, Any]:
    """What the preset's network is built with from this configuration, as a plan's arch_kwargs would hold it."""
    facts = {
        "region_based": configuration.configuration.get("region_based", False),
        "patch_size": configuration.patch_size,
        "spacing": configuration.configuration.get("spacing"),  # not known while a patch is looked for
    }
    return {
        **plan_arguments(configuration.network_arch_init_kwargs),
        **preset.arguments,
        **{name: facts[name] for name in preset.plan_facts},
    }


def as_plan(preset: Preset, configuration: ConfigurationManager) -> ConfigurationManager:
    """The configuration with the preset's network as its architecture, as a plan for this network would have it."""
    arguments = network_arguments(preset, configuration)
    architecture = {
        "network_class_name": preset.network,
        "arch_kwargs": arguments,
        "_kw_requires_import": [name for name in configuration.network_arch_init_kwargs_req_import if name in arguments],
    }
    return ConfigurationManager({**configuration.configuration, "architecture": architecture})


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
        InputSizeError: if it can't process a patch of this plan.
        PresetError: if the preset is one of the user's, and its network isn't there or fails.
    """
    _check_network(preset)
    plan = as_plan(preset, configuration)
    try:
        network = get_network_from_plans(
            plan.network_arch_class_name,
            plan.network_arch_init_kwargs,
            plan.network_arch_init_kwargs_req_import,
            input_channels,
            output_channels,
            allow_init=True,
            deep_supervision=deep_supervision,
        )
    except ExtensionError:
        raise
    except Exception as error:
        if not preset.origin:  # a plan can be edited into anything, and then any part of a network may object
            raise PlanError(
                f"the network of preset {preset.name} can't be built from this plan ({type(error).__name__}: {error}). Check "
                "its arch_kwargs, or plan again with nnUNetv2_plan_experiment."
            ) from error
        place = place_of(error, preset.network) or preset.origin
        cure = (
            " It needs adapt(), or the arguments of PlainConvUNet: see docs/your-network.md."
            if isinstance(error, TypeError)
            else ""
        )
        raise PresetError(
            f"{place}: the network of preset {preset.name} can't be built for this plan, {type(error).__name__}: {error}.{cure}"
        ) from error
    if isinstance(network, Network):
        network.plan.check_input((1, input_channels, *configuration.patch_size), training=False)
    return network


def network_of_trainer(
    trainer: type[nnUNetTrainer],
    plans: PlansManager,
    configuration: ConfigurationManager,
    input_channels: int,
    output_channels: int,
    *,
    deep_supervision: bool,
) -> nn.Module:
    """The network that a trainer builds, ours or anybody's.

    Trainers that were written for nnU-Net before 2.8 are given parts of the configuration in its place, as nnU-Net does.
    """
    build: Callable[..., nn.Module] = trainer.build_network_architecture
    architecture: tuple[Any, ...] = (plans, configuration)
    if "plans_manager" not in inspect.signature(build).parameters:
        architecture = (
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
        )
    return build(*architecture, input_channels, output_channels, deep_supervision)


def _check_network(preset: Preset) -> None:
    try:
        found = pydoc.locate(preset.network)
    except pydoc.ErrorDuringImport as error:
        where = place_of(error.value, preset.network) or preset.origin
        raise PresetError(f"{where}: {preset.network}, network of preset {preset.name}, can't be imported, {error}") from error
    if found is None:
        raise PresetError(
            f"{preset.origin}: there is no {preset.network}, the network of preset {preset.name}: correct its path, or install "
            "the package that has it"
        )
