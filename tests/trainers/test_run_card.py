import json

import nnunetv2_ext
from nnunetv2_ext.trainers.run_card import write_run_card
from tests.trainers.runs import make_trainer


def test_says_what_differs_from_the_stock_trainer(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerMBTFEAdanDiceLoss_3epochs", tmp_path, monkeypatch)
    trainer.initialize()
    log = "\n".join(write_run_card(trainer))
    with open(f"{trainer.output_folder}/run_card.json") as file:
        card = json.load(file)
    assert card["trainer"] == "nnUNetTrainerMBTFEAdanDiceLoss_3epochs"
    assert card["preset"] == "MBTFE"
    assert card["recipe"] == {"optimizer": "Adan", "learning_rate_schedule": "PolyLRScheduler", "loss": "DiceLossMixin"}
    assert card["differs_from_nnUNetTrainer"]["num_epochs"] == {"nnUNetTrainer": 1000, "here": 3}
    assert card["versions"]["nnunetv2_ext"] == nnunetv2_ext.__version__
    assert card["network"]["parameters"] == sum(p.numel() for p in trainer.network.parameters())
    assert "num_epochs 3 (nnUNetTrainer: 1000)" in log


def test_says_so_when_only_the_network_differs(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    trainer.initialize()
    assert "Differs from nnUNetTrainer in: the network alone" in write_run_card(trainer)[1]
