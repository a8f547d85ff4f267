"""nnU-Net's own variants as suffixes: each has the effect on a preset that it has on nnU-Net's own network."""

import pickle
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn

from nnunetv2_ext.errors import CheckpointError, CombinationError
from nnunetv2_ext.presets.stock_variants import stock_variants
from nnunetv2_ext.trainers.base import HYPERPARAMETERS
from nnunetv2_ext.trainers.names import parse
from nnunetv2_ext.trainers.resolve import trainer_class
from nnunetv2_ext.trainers.variants import variant_class
from tests.trainers.runs import batch, make_trainer

ON_GPU_ONLY = [name for name in stock_variants() if name.startswith("Benchmark")]
VARIANTS = [name for name in stock_variants() if name not in ON_GPU_ONLY]
EPOCHS = 100


def describe(trainer: Any) -> dict[str, Any]:
    """All that a variant may change, in a form that can be compared."""
    values: dict[str, Any] = {name: getattr(trainer, name) for name in HYPERPARAMETERS if name != "save_every"}
    trainer.num_epochs = EPOCHS  # schedules stretch over the epochs
    trainer.initialize()
    geometry = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    rotation, dummy_2d, patch, mirror_axes = geometry
    transforms = trainer.get_training_transforms(
        trainer.configuration_manager.patch_size, rotation, None, mirror_axes, dummy_2d, [False]
    )
    values |= {
        "geometry": (rotation, dummy_2d, list(patch), mirror_axes, trainer.inference_allowed_mirroring_axes),
        "augmentation": described(transforms),
        "sampling": type(trainer)._set_batch_size_and_oversample.__qualname__,
        "loss": loss_of(trainer),
        "smooth": getattr(getattr(_inner(trainer.loss), "dc", None), "smooth", None),
        "optimizer": type(trainer.optimizer).__name__,
        "amsgrad": trainer.optimizer.defaults.get("amsgrad"),
        "norm": any(isinstance(module, nn.BatchNorm2d) for module in trainer.network.modules()),
    }
    values["learning rates"] = [round(learning_rate(trainer, epoch) / trainer.initial_lr, 6) for epoch in (0, 7, 60, 99)]
    return values


def described(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    if type(value).__module__.startswith("batchgeneratorsv2"):
        return type(value).__name__, {name: described(one) for name, one in vars(value).items() if not name.startswith("_")}
    return value if isinstance(value, int | float | str | bool | None) else type(value).__name__


def loss_of(trainer: Any) -> float:
    """Of an output at full size, without deep supervision."""
    loss = _inner(trainer.loss)
    torch.manual_seed(1)
    size = (2, trainer.label_manager.num_segmentation_heads, 16, 16)
    return round(float(loss(torch.randn(size), torch.randint(0, size[1], (2, 1, 16, 16)))), 5)


def _inner(loss: nn.Module) -> nn.Module:
    return loss.loss if isinstance(loss, DeepSupervisionWrapper) else loss


def learning_rate(trainer: Any, epoch: int) -> float:
    trainer.lr_scheduler.step(epoch)
    return trainer.optimizer.param_groups[0]["lr"]


def plan_for(variant: str) -> str:
    return "3d_anisotropic" if variant == "_noDummy2DDA" else "2d"  # the others have an effect in 2D, where a step is short


@pytest.fixture(scope="module")
def effect_of(tmp_path_factory) -> Iterator[Callable[[str], dict[str, Any]]]:
    """What a variant changes in nnU-Net's own trainer."""
    with pytest.MonkeyPatch.context() as monkeypatch:

        @cache
        def description(trainer: str, plan: str) -> dict[str, Any]:
            return describe(make_trainer(trainer, tmp_path_factory.mktemp("stock"), monkeypatch, plan=plan))

        def effect(variant: str) -> dict[str, Any]:
            plan = plan_for(variant)
            plain = description("nnUNetTrainer", plan)
            return {key: value for key, value in description(f"nnUNetTrainer{variant}", plan).items() if value != plain[key]}

        yield effect


SOME = ["_onlyMirror01", "DA5", "_warmup", "Topk10Loss", "Adam1en3", "NoDeepSupervision", "_probabilisticOversampling_033"]


@pytest.mark.parametrize(
    ("preset", "variant"),
    [
        *(pytest.param("EGEUNet", variant) for variant in SOME),
        *(
            pytest.param(preset, variant, marks=pytest.mark.slow)
            for preset in ("GHPA", "EGEUNet", "MedT")
            for variant in VARIANTS
            if variant not in ("BN", "DiceLoss")  # BN has tests of its own; DiceLoss is a suffix of ours
        ),
    ],
)
def test_a_variant_has_the_effect_that_it_has_on_the_stock_trainer(preset, variant, effect_of, tmp_path, monkeypatch):
    name = f"nnUNetTrainer{preset}{variant}"
    effect = effect_of(variant)
    assert effect
    assert pickle.loads(pickle.dumps(trainer_class(name))) is trainer_class(name)
    trainer = make_trainer(name, tmp_path, monkeypatch, plan=plan_for(variant))
    ours = describe(trainer)
    assert {key: ours[key] for key in effect} == effect
    assert np.isfinite(trainer.train_step(batch(trainer))["loss"])


def test_a_norm_reaches_a_network_that_takes_the_plan_s(effect_of, tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerGHPABN", tmp_path, monkeypatch, plan="2d")
    assert effect_of("BN") == {"norm": True}
    assert describe(trainer)["norm"]
    assert type(trainer.network).__name__ == "EGE"
    assert "InstanceNorm" in str(trainer.configuration_manager.network_arch_init_kwargs["norm_op"])  # the plan stays
    assert trainer.train_step(batch(trainer))["loss"] < 10


@pytest.mark.parametrize("preset", ["EGEUNet", "MedT"])
def test_a_norm_is_refused_by_a_network_that_has_its_own(preset, tmp_path, monkeypatch):
    with pytest.raises(CombinationError, match=f"BN changes nothing in the network of preset {preset}"):
        make_trainer(f"nnUNetTrainer{preset}BN", tmp_path, monkeypatch, plan="2d").initialize()


@pytest.mark.parametrize("variant", ON_GPU_ONLY)
def test_what_runs_on_a_gpu_only_is_mixed_in(variant):
    trainer = trainer_class(f"nnUNetTrainerEGE{variant}")
    assert issubclass(trainer, variant_class(variant))
    assert trainer.run_training is variant_class(variant).run_training


@pytest.mark.parametrize(
    ("suffixes", "sentence"),
    [
        ("DiceLossCELoss", "DiceLossMixin and nnUNetTrainerCELoss both bring a loss"),
        ("CELossTopk10Loss", "nnUNetTrainerCELoss and nnUNetTrainerTopk10Loss both change _build_loss"),
        ("AdamWAdam", "AdamWMixin and nnUNetTrainerAdam both bring an optimizer"),
        ("Adam1en3VanillaAdam", "nnUNetTrainerAdam1en3 and nnUNetTrainerVanillaAdam both bring an optimizer"),
        ("CosAnneal_warmup", "nnUNetTrainerCosAnneal and nnUNetTrainer_warmup both bring a schedule"),
        ("DA5NoDA", "nnUNetTrainerDA5 and nnUNetTrainerNoDA both change get_training_transforms"),
        ("NoMirroring_onlyMirror01", "nnUNetTrainerNoMirroring and nnUNetTrainer_onlyMirror01 both change configure_rotation"),
        ("_5epochs_6epochs", "_5epochs and _6epochs both say the length"),
        ("AdanAdamW", "Adan and AdamW both say the optimizer"),
        ("_lr1e-3_lr1e-2", "_lr1e-3 and _lr1e-2 both say the learning rate"),
        ("NoDANoDA", "NoDA is there twice"),
    ],
)
def test_suffixes_that_contradict_each_other_are_refused(suffixes, sentence):
    with pytest.raises(CombinationError, match=f"^nnUNetTrainerEGE{suffixes}: {sentence}.*keep one of the two"):
        trainer_class(f"nnUNetTrainerEGE{suffixes}")


def test_a_number_in_a_variant_and_another_in_the_name_are_refused(tmp_path, monkeypatch):
    with pytest.raises(CombinationError, match=r"sets initial_lr to 0\.001, and a number in its name sets it to 0\.01"):
        make_trainer("nnUNetTrainerEGEAdam1en3_lr1e-2", tmp_path, monkeypatch, plan="2d")


@pytest.mark.parametrize("order", ["DA5NoMirroring", "NoMirroringDA5"])
def test_variants_that_build_upon_each_other_combine_in_any_order(order, tmp_path, monkeypatch):
    trainer = make_trainer(f"nnUNetTrainerEGEUNet{order}", tmp_path, monkeypatch, plan="2d")
    *_, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert mirror_axes is trainer.inference_allowed_mirroring_axes is None
    assert trainer.get_training_transforms.__qualname__.startswith("nnUNetTrainerDA5.")


def test_an_optimizer_and_a_schedule_combine(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEAdam1en3CosAnneal", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    assert trainer.optimizer.defaults["amsgrad"]
    assert [learning_rate(trainer, epoch) for epoch in (0, 500)] == pytest.approx([1e-3, 5e-4])


def test_a_warm_up_of_stages_keeps_the_preset_s_optimizer_and_continues(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerMedT_warmup", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    rates = []
    for trainer.current_epoch in (0, 49, 50, 525):
        trainer.on_train_epoch_start()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    assert rates == pytest.approx([3e-4 / 50, 3e-4, 3e-4, 3e-4 * 0.5**0.9])
    trainer.train_step(batch(trainer))
    trainer.logger.log("train_losses", np.float64(0.5), 525)  # as nnU-Net logs
    trainer.save_checkpoint(f"{tmp_path}/checkpoint.pth")

    continued = make_trainer("nnUNetTrainerMedT_warmup", tmp_path, monkeypatch, plan="2d", continue_training=True)
    continued.load_checkpoint(f"{tmp_path}/checkpoint.pth")
    continued.on_train_epoch_start()
    assert isinstance(continued.optimizer, torch.optim.AdamW)
    assert continued.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4 * (1 - 476 / 950) ** 0.9)
    assert len(continued.optimizer.state) == len(trainer.optimizer.state)


def test_numbers_reach_trainer_plan_and_name(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerMedT_lr1e-3_wd5e-2_bs3_7epochs", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    group = trainer.optimizer.param_groups[0]
    assert (trainer.initial_lr, group["weight_decay"], trainer.num_epochs, trainer.batch_size) == (1e-3, 5e-2, 7, 3)
    assert trainer.plans_manager.plans["configurations"]["2d"]["batch_size"] == 3  # saved beside the checkpoint
    assert trainer.plans_manager.plans["configurations"]["2d"]["patch_size"] == [32, 32]
    assert pickle.loads(pickle.dumps(type(trainer))) is type(trainer)
    assert "nnUNetTrainerMedT_lr1e-3_wd5e-2_bs3_7epochs__" in trainer.output_folder


def test_what_a_variant_repeats_of_nnunet_s_leaves_the_recipe_alone(tmp_path, monkeypatch):
    assert make_trainer("nnUNetTrainerEGEUNet_warmup", tmp_path, monkeypatch, plan="2d").num_epochs == 250
    assert make_trainer("nnUNetTrainerEGEUNet_warmup_9epochs", tmp_path, monkeypatch, plan="2d").num_epochs == 9


def test_the_variants_are_those_that_nnunet_has():
    assert {"NoMirroring", "_warmup", "DiceCELoss_noSmooth", "_onlyMirror01_DA5"} <= stock_variants().keys()
    assert all(parse(f"nnUNetTrainerEGE{name}") for name in stock_variants())
    assert all(variant_class(name).__name__ == f"nnUNetTrainer{name}" for name in stock_variants())


def test_a_variant_that_reads_checkpoints_itself_refuses_a_damaged_one(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEUNet_warmup", tmp_path, monkeypatch, plan="2d")
    (tmp_path / "checkpoint.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="can't be read as a checkpoint"):
        trainer.load_checkpoint(f"{tmp_path}/checkpoint.pth")
