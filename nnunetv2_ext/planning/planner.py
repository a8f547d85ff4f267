"""Plans for a preset's network: nnU-Net's planner, with what this network needs in place of what a U-Net needs."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiment_dataset
from nnunetv2.utilities.dataset_name_id_conversion import convert_dataset_name_to_id
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_ext.datasets import check_writable, host_folder, read_json
from nnunetv2_ext.descriptions.dataset_json import check_dataset_json
from nnunetv2_ext.descriptions.fingerprint import check_fingerprint
from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.descriptions.plans_json import CONFIGURATIONS, configurations_of, is_count
from nnunetv2_ext.errors import DatasetError, ExtensionError, PlanError, PresetError
from nnunetv2_ext.memory.weightless import without_weights
from nnunetv2_ext.presets import Preset
from nnunetv2_ext.presets.user import place_of
from nnunetv2_ext.trainers.networks import build_network, network_arguments

STOCK_PLANS = "nnUNetPlans"
MOVE_AWAY = "Move it away: nnU-Net reads it before it replaces anything."


class PresetPlanner(ExperimentPlanner):
    """nnU-Net's default planner for a preset's network.

    The plans differ from nnU-Net's in the network and in what follows from its memory: patch, batch, and stages. They name
    the network's class, so stock trainers train it and nnUNetv2_predict predicts with it, without nnUNet_extTrainer.

    Args:
        arguments: as nnU-Net's planner takes them.
        preset: whose network is planned for.
        configurations: the configurations to write, with those they build upon; all if empty.
        options: as nnU-Net's planner takes them.
    """

    def __init__(self, *arguments: Any, preset: Preset, configurations: Collection[str] = (), **options: Any) -> None:
        super().__init__(*arguments, plans_name=plans_name(preset), **options)
        self.preset = preset
        self.wanted = configurations
        self._times_stock, self._stock_counted = 0.0, 0  # at the last patch that was counted

    def generate_data_identifier(self, configuration_name: str) -> str:
        """nnU-Net's, so that its preprocessed data is used, but for 3d_lowres, whose spacing follows from the patch."""
        plans = self.plans_identifier if configuration_name == "3d_lowres" else STOCK_PLANS
        return f"{plans}_{configuration_name}"

    # nnU-Net's is a static method, but calls it on the planner, which knows the network.
    def static_estimate_VRAM_usage(  # noqa: N802
        self,
        patch_size: Sequence[int],
        input_channels: int,
        output_channels: int,
        arch_class_name: str,
        arch_kwargs: Mapping[str, Any],
        arch_kwargs_req_import: Sequence[str],
    ) -> int:
        """What the network needs at this patch, in nnU-Net's unit.

        Raises:
            PlanError: if the network can't be built for this patch or process it.
            PresetError: if it is the user's and fails.
        """
        architecture = {
            "network_class_name": arch_class_name,
            "arch_kwargs": arch_kwargs,
            "_kw_requires_import": arch_kwargs_req_import,
        }
        configuration = self._configuration({"patch_size": patch_size, "architecture": architecture})
        patch = configuration.patch_size
        try:
            if min(patch) < 1:
                raise PlanError("nothing is left of the patch")
            # Without deep supervision, as nnU-Net estimates.
            channels = input_channels, output_channels
            stock = without_weights(lambda: get_network_from_plans(*architecture.values(), *channels, allow_init=False))
            network = without_weights(lambda: build_network(self.preset, configuration, *channels, deep_supervision=False))
            stock_estimate = int(stock.compute_conv_feature_map_size(patch))
            scaled = stock_estimate * self._times_stock
            # Memory grows at most with the square of the patch (attention), so down to half the patch that was counted, the
            # scaled estimate is at most twice too large.
            if stock_estimate > self._stock_counted / 2 and self._is_far_too_large(scaled, len(patch)):
                return round(scaled)
            estimate: int = network.compute_conv_feature_map_size(patch)  # type: ignore[operator]
            self._times_stock, self._stock_counted = estimate / stock_estimate, stock_estimate
            return estimate
        except PresetError:
            raise
        except ExtensionError as error:
            raise PlanError(
                f"no patch of {self.dataset_name} was found on which {self.preset.name} fits into {self.UNet_vram_target_GB:g} "
                f"GB; at {patch} the search ended: {error} Plan for more memory, or for a lighter preset."
            ) from error
        except Exception as error:
            if not self.preset.origin:
                raise
            place = place_of(error, self.preset.network) or self.preset.origin
            reason = f"{type(error).__name__}: {error}"
            raise PresetError(f"{place}: the network of {self.preset.name} fails on a patch of {patch}, {reason}") from error

    def _is_far_too_large(self, estimate: float, dimensions: int) -> bool:
        """Whether it is more than twice what fits.

        nnU-Net's search begins far above what fits and comes down in small steps, and counting takes a second or so for each.
        """
        reference = self.UNet_reference_val_2d if dimensions == 2 else self.UNet_reference_val_3d
        batch = self.UNet_reference_val_corresp_bs_2d if dimensions == 2 else self.UNet_reference_val_corresp_bs_3d
        fits = reference * self.UNet_vram_target_GB / self.UNet_reference_val_corresp_GB * batch / self.UNet_min_batch_size
        return estimate > 2 * fits

    def get_plans_for_configuration(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """nnU-Net's, with the preset's network in it."""
        self._times_stock, self._stock_counted = 0.0, 0
        plan = super().get_plans_for_configuration(*arguments, **options)
        plan["architecture"] |= {
            "network_class_name": self.preset.network,
            "arch_kwargs": deepcopy(network_arguments(self.preset, self._configuration(plan))),
        }
        return plan

    def save_plans(self, plans: dict[str, Any]) -> None:
        """Saves those configurations that are wanted, beside those of other names that the file already has.

        If all are wanted, those that nnU-Net plans and that this time it has not planned are removed: they were planned for
        another GPU.

        A next stage that neither of them has is left out: nnU-Net's trainer would look for it after the training, and fail.

        Raises:
            DatasetError: if one of them isn't there.
        """
        planned, file = plans["configurations"], _plans_file(self.dataset_name, self.preset)
        there = read_json_file(file, dict, MOVE_AWAY) if file.exists() else {}
        if missing := [name for name in self.wanted if name not in planned]:
            raise DatasetError(
                f"{self.dataset_name} has no configuration {', '.join(missing)} in {self.UNet_vram_target_GB:g} GB; it has "
                f"{', '.join(planned)}."
            )
        if self.wanted:
            needed = {name for wanted in self.wanted for name in _with_those_it_builds_upon(wanted, planned)}
            plans["configurations"] = {name: plan for name, plan in planned.items() if name in needed}
            for plan in plans["configurations"].values():
                if plan.get("next_stage") not in {*needed, *configurations_of(there)}:
                    plan.pop("next_stage", None)
        elif outdated := [name for name in CONFIGURATIONS if name in configurations_of(there) and name not in planned]:
            for name in outdated:
                del there["configurations"][name]
            save_json(there, str(file), sort_keys=False)  # nnU-Net adds what it has to what it plans
        super().save_plans(plans)

    def _configuration(self, plan: Mapping[str, Any]) -> ConfigurationManager:
        labels = LabelManager(self.dataset_json["labels"], self.dataset_json.get("regions_class_order"))
        patch = [int(size) for size in plan["patch_size"]]  # numpy's, in nnU-Net's search
        return ConfigurationManager({**plan, "patch_size": patch, "region_based": labels.has_regions})


def plans_name(preset: Preset) -> str:
    """The name of the plans for a preset, as nnU-Net's ``-p`` takes it."""
    return f"nnUNet{preset.name}Plans"


def write_plans(
    dataset: str, preset: Preset, *, gpu_memory: float, configurations: Collection[str] = (), overwrite: bool = False
) -> dict[str, Any]:
    """Plans a dataset for a preset and saves the plans where nnU-Net looks for them.

    Args:
        dataset: the dataset's name.
        preset: whose network is planned for.
        gpu_memory: memory to fit into, in nnU-Net's GB.
        configurations: the configurations to write, with those they build upon; all if empty.
        overwrite: whether plans of that name may be there already.

    Raises:
        DatasetError: if the dataset's fingerprint or description can't be read, or there are plans already.
        PlanError: if the network doesn't fit.
    """
    extract = f"First run: nnUNetv2_extract_fingerprint -d {convert_dataset_name_to_id(dataset)}"
    check_fingerprint(read_json(dataset, "dataset_fingerprint.json", extract))
    file = _plans_file(dataset, preset)
    if file.exists() and not overwrite:
        raise DatasetError(f"{file} already exists. Add --overwrite to replace it, or move it away.")
    if file.exists() and not isinstance(read_json_file(file, dict, MOVE_AWAY).get("configurations"), dict):
        raise DatasetError(f"{file} has no configurations. {MOVE_AWAY}")
    check_writable(file.parent)
    _check_raw(host_folder("nnUNet_raw") / dataset)
    planner = partial(PresetPlanner, preset=preset, configurations=configurations)
    plans, _ = plan_experiment_dataset(dataset, planner, gpu_memory_target_in_gb=gpu_memory)
    return plans


def _check_raw(folder: Path) -> None:
    description = read_json_file(folder / "dataset.json", dict, "nnU-Net plans from the raw dataset: put it there.")
    check_dataset_json(description)
    if not is_count(description.get("numTraining")):
        raise DatasetError(f"{folder / 'dataset.json'} has no numTraining, the number of training cases: add it.")
    if "dataset" not in description and not any((folder / "imagesTr").glob(f"*_0000{description['file_ending']}")):
        raise DatasetError(f"{folder / 'imagesTr'} has no image, and nnU-Net opens one to plan: put the raw images there.")


def _plans_file(dataset: str, preset: Preset) -> Path:
    return host_folder("nnUNet_preprocessed") / dataset / f"{plans_name(preset)}.json"


def _with_those_it_builds_upon(name: str, configurations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    below = [configurations[name][key] for key in ("inherits_from", "previous_stage") if key in configurations[name]]
    return [name, *(deeper for other in below for deeper in _with_those_it_builds_upon(other, configurations))]
