"""The trainer of the demo."""

import pytest

from nnunetv2_ext.demo import trainer
from nnunetv2_ext.errors import UnknownTrainerError

FULL = trainer.DEFAULT + trainer.LENGTH


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        (trainer.DEFAULT, FULL),
        ("nnUNetTrainerMedT", f"nnUNetTrainerMedT{trainer.LENGTH}"),
        ("nnUNetTrainerMedT_3epochs", "nnUNetTrainerMedT_3epochs"),
        ("nnUNetTrainer_5epochs", "nnUNetTrainer_5epochs"),
        ("nnUNetTrainer", "nnUNetTrainer"),
    ],
)
def test_ours_gets_a_length_if_it_has_none(name, resolved) -> None:
    assert trainer.resolve(name) == resolved


def test_a_wrong_name_is_answered_with_the_nearest(monkeypatch) -> None:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    with pytest.raises(UnknownTrainerError, match="Did you mean nnUNetTrainerEGE"):
        trainer.resolve("nnUNetTrainerEGGE")


@pytest.mark.parametrize(
    ("name", "label"),
    [(FULL, "EGE"), ("nnUNetTrainerMedT_3epochs", "MedT"), ("nnUNetTrainer_5epochs", "nnUNetTrainer_5epochs")],
)
def test_label(name, label) -> None:
    assert trainer.label(name) == label


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("nnUNetTrainerEGE_12epochs_25iters", 12),
        ("nnUNetTrainer_5epochs", 5),
        ("nnUNetTrainer_1epoch", 1),
        ("nnUNetTrainer", None),
    ],
)
def test_epochs(name, epochs) -> None:
    assert trainer.epochs(name) == epochs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (FULL, "about five minutes on two CPU cores, less"),
        (f"nnUNetTrainerMedT{trainer.LENGTH}", "MedT.* trains for as many iterations"),
        ("nnUNetTrainer_5epochs", "trains for 5 epochs"),
        ("nnUNetTrainer", "1000 in a stock trainer"),
    ],
)
def test_duration_is_said_for_every_trainer(name, said) -> None:
    import re

    assert re.search(said, trainer.duration(name))
