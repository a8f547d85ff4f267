import pickle

import pytest
import torch
from nnunetv2.run.run_training import run_training
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.loss.nnUNetTrainerDiceLoss import nnUNetTrainerDiceLoss
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdan import nnUNetTrainerAdan
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_ext.errors import UnknownTrainerError
from nnunetv2_ext.paths import SHIM
from nnunetv2_ext.trainers import losses, optimizers, resolve
from nnunetv2_ext.trainers.resolve import any_trainer_class, trainer_class
from tests.plans import every_preset


@pytest.fixture
def _shim(monkeypatch):
    monkeypatch.setenv("nnUNet_extTrainer", str(SHIM))


@pytest.mark.usefixtures("_shim")
@pytest.mark.parametrize("suffix", ["", "AdanDiceLoss", "_7epochs", "Adan_2epochs_4iters"])
@every_preset
def test_the_host_finds_it_and_it_stays_one_picklable_class(preset, suffix):
    name = f"nnUNetTrainer{preset}{suffix}"
    found = recursive_find_trainer_class_by_name(name)
    assert found is trainer_class(name)
    assert found is recursive_find_trainer_class_by_name(name)
    assert found.__name__ == name
    assert issubclass(found, nnUNetTrainer)
    assert pickle.loads(pickle.dumps(found)) is found


@pytest.mark.usefixtures("_shim")
def test_stock_trainers_stay_stock():
    assert recursive_find_trainer_class_by_name("nnUNetTrainerAdan") is nnUNetTrainerAdan
    assert recursive_find_trainer_class_by_name("nnUNetTrainerDiceLoss") is nnUNetTrainerDiceLoss


@pytest.mark.usefixtures("_shim")
def test_an_unknown_name_ends_the_host_s_training_with_our_sentence():
    with pytest.raises(SystemExit, match=r"there is no trainer nnUNetTrainerEGGE\. Did you mean nnUNetTrainerEGE"):
        run_training("4", "3d_fullres", 0, "nnUNetTrainerEGGE", device=torch.device("cpu"))


def test_suffixes_put_mixins_before_the_base():
    trainer = trainer_class("nnUNetTrainerEGEAdanDiceLoss")
    assert issubclass(trainer, optimizers.AdanMixin)
    assert issubclass(trainer, losses.DiceLossMixin)


def test_length():
    hyperparameters = trainer_class("nnUNetTrainerEGE_100epochs_25iters")._all_hyperparameters()
    assert hyperparameters["num_epochs"] == 100
    assert hyperparameters["num_iterations_per_epoch"] == 25
    assert hyperparameters["num_val_iterations_per_epoch"] == 5
    assert hyperparameters["save_every"] == 5


def test_another_optimizer_brings_its_own_rates():
    assert trainer_class("nnUNetTrainerNarrowUNet")._all_hyperparameters()["initial_lr"] == 2e-3
    for name in ("nnUNetTrainerNarrowUNetAdan", "nnUNetTrainerNarrowUNetAdan1en3"):
        assert "initial_lr" not in trainer_class(name)._all_hyperparameters()
    adam_w = trainer_class("nnUNetTrainerVNetAdamW")._all_hyperparameters()
    assert {name: adam_w[name] for name in ("initial_lr", "weight_decay")} == optimizers.AdamWMixin.hyperparameters
    assert trainer_class("nnUNetTrainerNarrowUNetAdan_lr1e-4")._all_hyperparameters()["initial_lr"] == 1e-4


def test_unknown_names():
    with pytest.raises(UnknownTrainerError):
        trainer_class("nnUNetTrainerNothing")
    assert not hasattr(resolve, "nnUNetTrainerNothing")


def test_any_trainer_is_ours_stock_or_in_a_folder_of_the_user_s(monkeypatch, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerMine(nnUNetTrainer): pass\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    assert any_trainer_class("nnUNetTrainerEGE") is trainer_class("nnUNetTrainerEGE")
    assert any_trainer_class("nnUNetTrainer") is nnUNetTrainer
    assert any_trainer_class("nnUNetTrainerAdan") is nnUNetTrainerAdan
    assert any_trainer_class("nnUNetTrainerMine").__name__ == "nnUNetTrainerMine"
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", ["nnUNetTrainerEGGE", "torch", "PlansManager"])
def test_what_is_no_trainer_is_unknown(name, monkeypatch):
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    with pytest.raises(UnknownTrainerError, match=f"no trainer {name}"):
        any_trainer_class(name)
