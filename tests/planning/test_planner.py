"""Plans for presets: what they differ in from the host's, and that stock trainers take them."""

import contextlib
import io
import json
import shutil
from functools import partial
from math import prod

import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from nnunetv2_ext.errors import DatasetError, PlanError, PresetError
from nnunetv2_ext.planning.planner import PresetPlanner, plans_name, write_plans
from nnunetv2_ext.presets import OURS, PRESETS, Preset
from tests.plans import NETWORKS

FIRST = next(iter(PRESETS.values()))
every_preset = pytest.mark.parametrize(
    "preset", [pytest.param(row, id=row.name, marks=[] if row.name in NETWORKS else pytest.mark.slow) for row in OURS]
)
AMPLE, TIGHT = 24, 0.5
NETS = """from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

class Mine(nn.Module):
    def __init__(self, **plan):
        super().__init__()
        {fault}
"""


def quiet(function, *arguments, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments, **options)


def written(dataset, preset=FIRST, gpu_memory=AMPLE, **options):
    quiet(write_plans, dataset.name, preset, gpu_memory=gpu_memory, **options)
    return json.loads((dataset.preprocessed / f"{plans_name(preset)}.json").read_text())


@pytest.fixture
def small(dataset):
    """The dataset with images that leave the planner little to search."""
    dataset.fingerprint(shape=[16, 16, 16], spacing=[1.0, 1.0, 1.0])
    return dataset


@pytest.fixture
def light(small, monkeypatch):
    """The small dataset, and an estimate that takes no time."""
    monkeypatch.setattr(PresetPlanner, "static_estimate_VRAM_usage", lambda *_: 10**6)
    return small


def flat(value, path=()):
    if isinstance(value, dict):
        return {key: leaf for name, inner in value.items() for key, leaf in flat(inner, (*path, name)).items()}
    return {path: value}


@pytest.mark.slow
def test_the_plans_differ_from_the_hosts_in_named_keys_alone(small):
    small.describe(labels={"background": 0, "whole": [1, 2], "part": [2]}, regions_class_order=[1, 2])
    stock = json.loads(json.dumps(small.plan_stock(AMPLE)))
    ours, theirs = flat(written(small)), flat(stock)
    differing = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    own_arguments = {*FIRST.arguments, *FIRST.plan_facts}
    for path in differing - {("plans_name",), ("experiment_planner_used",)}:
        assert path[0] == "configurations"
        key = path[4] if path[3:4] == ("arch_kwargs",) else path[-1]
        assert path[2:] == ("batch_size",) or key in {"network_class_name", *own_arguments}, path
    network = ours["configurations", "3d_fullres", "architecture", "network_class_name"]
    assert network == FIRST.network
    assert ours["configurations", "3d_fullres", "data_identifier"] == "nnUNetPlans_3d_fullres"


@every_preset
def test_the_plans_build_the_presets_network(light, preset):
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

    from nnunetv2_ext.trainers.networks import build_network

    planner = quiet(PresetPlanner, light.name, preset=preset)
    plan = planner.get_plans_for_configuration([1.0, 1.0], [32, 32], "any", 1e9, {})
    architecture = json.loads(json.dumps(plan["architecture"]))
    for name in preset.plan_facts:
        assert name in architecture["arch_kwargs"]
    with torch.device("meta"):
        named = get_network_from_plans(*architecture.values(), 2, 3, allow_init=False)
        ours = build_network(preset, ConfigurationManager(plan), 2, 3, deep_supervision=False)
    assert type(named) is type(ours)
    assert [(k, v.shape) for k, v in named.state_dict().items()] == [(k, v.shape) for k, v in ours.state_dict().items()]


def test_regions_are_a_fact_of_the_plan(light):
    assert "region_based" in FIRST.plan_facts
    arguments = written(light)["configurations"]["2d"]["architecture"]["arch_kwargs"]
    assert arguments["region_based"] is False
    light.describe(labels={"background": 0, "whole": [1, 2], "part": [2]}, regions_class_order=[1, 2])
    arguments = written(light, overwrite=True)["configurations"]["2d"]["architecture"]["arch_kwargs"]
    assert arguments["region_based"] is True


@pytest.mark.slow
def test_a_heavier_network_gets_a_smaller_batch_or_patch(dataset):
    def sizes(planner):
        plan = quiet(planner.get_plans_for_configuration, [1.0] * 3, [64] * 3, "any", 1e9, {})
        return plan["batch_size"], prod(plan["patch_size"])

    for memory, smaller in ((AMPLE, 0), (TIGHT, 1)):
        ours, stock = (
            sizes(quiet(planner, dataset.name, gpu_memory_target_in_gb=memory))
            for planner in (partial(PresetPlanner, preset=FIRST), ExperimentPlanner)
        )
        assert ours[smaller] < stock[smaller]
        assert prod(ours) < prod(stock)


@pytest.mark.slow
@pytest.mark.parametrize("power", [1, 2], ids=["linear", "quadratic"])
def test_patches_that_are_far_too_large_need_not_be_counted(dataset, monkeypatch, power):
    counted = []

    def count(_network, patch):
        counted.append(tuple(patch))
        return round(5e8 * (prod(patch) / 64**3) ** power)

    monkeypatch.setattr("nnunetv2_ext.architectures.network.Network.compute_conv_feature_map_size", count)

    def plan():
        counted.clear()
        planner = quiet(PresetPlanner, dataset.name, preset=FIRST, gpu_memory_target_in_gb=TIGHT)
        found = planner.get_plans_for_configuration([1.0] * 3, [64] * 3, "any", 1e9, {})
        return found, len(counted)

    found, few = plan()
    monkeypatch.setattr(PresetPlanner, "_is_far_too_large", lambda *_: False)
    same, all_of_them = plan()
    assert found == same
    assert few < all_of_them


@pytest.mark.parametrize("dimensions", [2, 3])
def test_up_to_twice_what_fits_is_counted(small, dimensions):
    planner = quiet(PresetPlanner, small.name, preset=FIRST, gpu_memory_target_in_gb=AMPLE)
    reference, batch = (getattr(planner, f"UNet_reference_val_{name}{dimensions}d") for name in ("", "corresp_bs_"))
    # at the smallest batch, with as much memory as nnU-Net's reference, as many times larger
    fits = reference * batch / planner.UNet_min_batch_size * AMPLE / planner.UNet_reference_val_corresp_GB
    assert not planner._is_far_too_large(1.9 * fits, dimensions)
    assert planner._is_far_too_large(2.1 * fits, dimensions)


@pytest.mark.slow
def test_memory_that_no_patch_fits_into_is_said(small):
    with pytest.raises(PlanError, match=f"{FIRST.name} fits into 0.001 GB"):
        written(small, gpu_memory=0.001)


def test_plans_are_not_overwritten_unless_asked(light):
    before = written(light)
    with pytest.raises(DatasetError, match=r"already exists\. Add --overwrite"):
        written(light)
    assert written(light, overwrite=True) == before


def test_what_was_planned_for_another_gpu_is_gone_when_all_is_planned_again(light):
    plans = written(light)
    file = light.preprocessed / f"{plans_name(FIRST)}.json"
    names = ("3d_lowres", "mine")
    plans["configurations"] |= dict.fromkeys(names, plans["configurations"]["2d"])
    file.write_text(json.dumps(plans))
    assert {*names} <= written(light, configurations=["2d"], overwrite=True)["configurations"].keys()
    assert list(written(light, overwrite=True)["configurations"]) == ["2d", "3d_fullres", "mine"]


def test_a_missing_fingerprint_is_said(light):
    (light.preprocessed / "dataset_fingerprint.json").unlink()
    with pytest.raises(DatasetError, match="nnUNetv2_extract_fingerprint -d 7"):
        written(light)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: d.describe(labels={"background": 0, "a": 1}, numTraining=None),
            "no numTraining, the number of training cases: add it",
        ),
        (lambda d: shutil.rmtree(d.raw / "imagesTr"), "imagesTr has no image, and nnU-Net opens one to plan"),
        (lambda d: (d.preprocessed / f"{plans_name(FIRST)}.json").write_text("{}"), "has no configurations. Move it away"),
    ],
)
def test_what_nnunet_would_stumble_over_is_said_before_it_plans(light, damage, message):
    damage(light)
    with pytest.raises(DatasetError, match=message):
        written(light, overwrite=True)


@pytest.mark.parametrize(
    ("module", "fault", "message"),
    [
        (
            "odd",
            "raise ValueError('odd')",
            r"mine\.py:1: the network of preset Mine can't be built for this plan, ValueError: odd",
        ),
        (
            "empty",
            "pass",
            "mine.py:1: the network of Mine fails on a patch of .* AttributeError: .*compute_conv_feature_map_size",
        ),
    ],
)
def test_a_network_of_the_users_that_fails_is_named(small, module, fault, message, tmp_path, monkeypatch):
    (tmp_path / f"{module}.py").write_text(NETS.format(fault=fault))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PresetError, match=message):
        written(small, Preset("Mine", network=f"{module}.Mine", origin="mine.py:1"))


def test_only_what_is_wanted_is_written(light):
    assert list(written(light, configurations=["2d"])["configurations"]) == ["2d"]
    with pytest.raises(DatasetError, match="no configuration 3d_lowres in 24 GB; it has 2d, 3d_fullres"):
        written(light, configurations=["3d_lowres"], overwrite=True)


def test_a_cascade_brings_what_it_builds_upon(small):
    planner = quiet(partial(PresetPlanner, preset=FIRST, configurations=["3d_cascade_fullres"]), small.name)
    cascade = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    planner.save_plans({"configurations": {"2d": {}, "3d_lowres": {}, "3d_fullres": {}, "3d_cascade_fullres": cascade}})
    saved = json.loads((small.preprocessed / f"{plans_name(FIRST)}.json").read_text())
    assert set(saved["configurations"]) == {"3d_lowres", "3d_fullres", "3d_cascade_fullres"}


def test_a_next_stage_is_named_only_if_it_is_there(small):
    def saved(*wanted):
        planner = quiet(partial(PresetPlanner, preset=FIRST, configurations=wanted), small.name)
        lowres = {"next_stage": "3d_cascade_fullres"}
        cascade = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
        configurations = {"2d": {}, "3d_lowres": lowres, "3d_fullres": {}, "3d_cascade_fullres": cascade}
        quiet(planner.save_plans, {"configurations": configurations})
        return json.loads((small.preprocessed / f"{plans_name(FIRST)}.json").read_text())["configurations"]

    assert "next_stage" not in saved("3d_lowres")["3d_lowres"]
    assert saved("3d_cascade_fullres")["3d_lowres"]["next_stage"] == "3d_cascade_fullres"
    assert saved("3d_lowres")["3d_lowres"]["next_stage"] == "3d_cascade_fullres"  # the file has the cascade from before


def test_data_is_shared_with_the_host_where_it_is_the_same(small):
    planner = quiet(PresetPlanner, small.name, preset=FIRST)
    identifiers = {name: planner.generate_data_identifier(name) for name in ("2d", "3d_fullres", "3d_lowres")}
    assert identifiers["2d"] == "nnUNetPlans_2d"
    assert identifiers["3d_fullres"] == "nnUNetPlans_3d_fullres"
    assert identifiers["3d_lowres"] == f"{plans_name(FIRST)}_3d_lowres"


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["nnUNetTrainerAdan", "nnUNetTrainer"])
def test_a_stock_trainer_trains_and_predicts_without_our_folder(light, monkeypatch, trainer):
    import numpy as np
    from batchgenerators.utilities.file_and_folder_operations import save_json
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.run.run_training import get_trainer_from_args

    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    plans = written(light, configurations=["3d_fullres"])
    data = light.preprocessed / plans["configurations"]["3d_fullres"]["data_identifier"]
    data.mkdir()
    (data / "case.b2nd").touch()
    cpu = torch.device("cpu")
    host = quiet(get_trainer_from_args, "7", "3d_fullres", 0, trainer, plans_name(FIRST), device=cpu)
    quiet(host.initialize)
    assert f"{type(host.network).__module__}.{type(host.network).__qualname__}".startswith("nnunetv2_ext.architectures.")
    patch = plans["configurations"]["3d_fullres"]["patch_size"]
    targets = [
        torch.randint(0, 3, (2, 1, *[round(size * scale) for size, scale in zip(patch, scales, strict=True)])).float()
        for scales in host._get_deep_supervision_scales()
    ]
    before = [parameter.detach().clone() for parameter in host.network.parameters()]
    loss = host.train_step({"data": torch.randn(2, 2, *patch), "target": targets})["loss"]
    assert np.isfinite(loss)
    assert any((old != new).any() for old, new in zip(before, host.network.parameters(), strict=True))

    host.inference_allowed_mirroring_axes = (0,)
    quiet(host.save_checkpoint, f"{host.output_folder}/checkpoint_final.pth")
    save_json(plans, f"{host.output_folder_base}/plans.json")
    save_json(host.dataset_json, f"{host.output_folder_base}/dataset.json")
    predictor = nnUNetPredictor(device=cpu, allow_tqdm=False)
    quiet(predictor.initialize_from_trained_model_folder, host.output_folder_base, (0,))
    logits = quiet(predictor.predict_logits_from_preprocessed_data, torch.randn(2, *patch))
    assert logits.shape == (3, *patch)
