import hashlib
import json
from pathlib import Path

import pytest

import nnunetv2_ext
from nnunetv2_ext.trainers.run_card import run_card, write_run_card
from tests.trainers.runs import make_trainer


def test_says_what_differs_from_the_stock_trainer(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerMBTFEAdanDiceLoss_3epochs", tmp_path, monkeypatch)
    trainer.initialize()
    log = "\n".join(write_run_card(trainer))
    with open(f"{trainer.output_folder}/run_card.json") as file:
        card = json.load(file)
    assert card["trainer"] == "nnUNetTrainerMBTFEAdanDiceLoss_3epochs"
    assert card["preset"] == "MBTFE"
    assert card["recipe"] == {
        "optimizer": "Adan",
        "learning_rate_schedule": "PolyLRScheduler",
        "loss": "DiceLossMixin",
        "variants": [],
    }
    assert card["differs_from_nnUNetTrainer"]["num_epochs"] == {"nnUNetTrainer": 1000, "here": 3}
    assert card["versions"]["nnunetv2_ext"] == nnunetv2_ext.__version__
    assert card["network"]["parameters"] == sum(p.numel() for p in trainer.network.parameters())
    assert "num_epochs 3 (nnUNetTrainer: 1000)" in log


def test_says_so_when_only_the_network_differs(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    trainer.initialize()
    assert "Differs from nnUNetTrainer in: the network alone" in write_run_card(trainer)[1]


def test_names_data_cost_and_command(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch)
    trainer.initialize()
    preprocessed = Path(trainer.preprocessed_dataset_folder_base)
    (preprocessed / "splits_final.json").write_text('[{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]')
    (preprocessed / "dataset_fingerprint.json").write_text('{"spacings": [[1.0, 1.0, 1.0]]}')
    monkeypatch.setattr("sys.argv", ["/bin/nnUNetv2_train", "999", "3d", "0", "-tr", "with space"])
    for epoch, seconds in enumerate((9.0, 1.0, 2.0)):
        trainer.logger.log("epoch_start_timestamps", 100.0 * epoch, epoch)
        trainer.logger.log("epoch_end_timestamps", 100.0 * epoch + seconds, epoch)
    trainer.logger.log("epoch_start_timestamps", 300.0, 3)  # cut off
    card = run_card(trainer)
    assert card["command"] == "nnUNetv2_train 999 3d 0 -tr 'with space'"
    assert card["cost"]["epochs"] == 3
    assert card["cost"]["seconds_per_epoch"] == 2.0
    assert card["cost"]["peak_memory_bytes"] > 50e6  # torch alone takes more
    assert card["cost"]["device"].startswith("cpu")
    assert card["data"]["fingerprint_sha256"] == hashlib.sha256(b'{"spacings": [[1.0, 1.0, 1.0]]}').hexdigest()
    assert card["data"]["split_sha256"] == hashlib.sha256(b'{"train": ["a"], "val": ["b"]}').hexdigest()
    trainer.fold = 1
    assert run_card(trainer)["data"]["split_sha256"] != card["data"]["split_sha256"]
    trainer.fold = 7  # nnU-Net splits at random for a fold that the file doesn't have
    assert run_card(trainer)["data"]["split_sha256"] is None


def test_is_written_again_when_the_training_ends(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGEUNet", tmp_path, monkeypatch)
    trainer.initialize()
    write_run_card(trainer)
    trainer.logger.log("epoch_start_timestamps", 0.0, 0)
    trainer.logger.log("epoch_end_timestamps", 5.0, 0)
    trainer.on_train_end()
    assert json.loads(Path(trainer.output_folder, "run_card.json").read_text())["cost"]["seconds_per_epoch"] == 5.0


def test_names_variants_and_numbers(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGENoMirroringCosAnneal_lr1e-3_bs5", tmp_path, monkeypatch)
    trainer.initialize()
    card = run_card(trainer)
    assert card["recipe"]["variants"] == ["nnUNetTrainerCosAnneal", "nnUNetTrainerNoMirroring"]
    assert card["recipe"]["learning_rate_schedule"] == "CosineAnnealingLR"
    assert card["differs_from_nnUNetTrainer"] == {
        "initial_lr": {"nnUNetTrainer": 0.01, "here": 0.001},
        "batch_size": {"nnUNetTrainer": 2, "here": 5},
    }


@pytest.mark.parametrize(
    ("suffix", "loss"),
    [
        ("EGE", "nnUNetTrainer"),
        ("EGECEThenDiceLoss", "CEThenDiceLossMixin"),
        ("EGEUNet", "EGELossMixin"),
        ("EGEUNetDiceLoss", "EGELossMixin and DiceLossMixin"),
    ],
)
def test_names_all_that_makes_the_loss(suffix, loss, tmp_path, monkeypatch):
    trainer = make_trainer(f"nnUNetTrainer{suffix}", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    assert run_card(trainer)["recipe"]["loss"] == loss
