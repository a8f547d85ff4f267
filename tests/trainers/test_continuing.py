from pathlib import Path

import pytest
from nnunetv2.run.run_training import maybe_load_checkpoint

from nnunetv2_ext.errors import CheckpointError
from nnunetv2_ext.trainers.checkpoints import CHECKPOINTS, same_recipe
from tests.trainers.damage import DAMAGES, damage
from tests.trainers.runs import make_trainer

FINAL, LATEST, BEST = CHECKPOINTS
NAME = "nnUNetTrainerEAB_12epochs_2iters"


@pytest.fixture
def arrange(tmp_path, monkeypatch):
    """Puts real checkpoints, by the number of epochs after which they were written, into the folder of a run."""
    writer = make_trainer(NAME, tmp_path, monkeypatch)
    writer.initialize()

    def arranged(trainer: str = NAME, **epochs: int):
        continued = make_trainer(trainer, tmp_path, monkeypatch, continue_training=True)
        for name, count in epochs.items():
            writer.current_epoch = count - 1
            writer.save_checkpoint(f"{continued.output_folder}/checkpoint_{name}.pth")
        return continued

    return arranged


def log_of(trainer) -> str:
    return Path(trainer.log_file).read_text()


def continue_run(trainer) -> None:
    maybe_load_checkpoint(trainer, True, validation_only=False)


def test_continues_from_the_newest_and_says_so(arrange):
    trainer = arrange(latest=4, best=6)
    continue_run(trainer)
    assert trainer.current_epoch == 6
    assert (
        "Continuing from checkpoint_best.pth, the newest whole checkpoint, written after 6 epochs (checkpoint_latest.pth: 4)."
    ) in log_of(trainer)


@pytest.mark.parametrize("how", DAMAGES)
def test_continues_from_the_newest_that_is_whole_and_says_so(how, arrange):
    trainer = arrange(final=12, latest=4, best=3)
    folder = Path(trainer.output_folder)
    damage(folder / FINAL, how)
    continue_run(trainer)
    assert trainer.current_epoch == 4
    assert "Continuing from checkpoint_latest.pth" in log_of(trainer)
    assert "Skipped as damaged: checkpoint_final.pth (" in log_of(trainer)


def test_there_is_nothing_whole_to_continue_from(arrange):
    trainer = arrange(latest=4, best=3)
    for name in (LATEST, BEST):
        damage(Path(trainer.output_folder, name), "cut off")
    with pytest.raises(
        CheckpointError, match=r"no whole checkpoint .*checkpoint_latest.pth \(.*checkpoint_best.pth \(.*a backup"
    ):
        continue_run(trainer)


def test_the_best_checkpoint_is_validated_even_in_a_run_that_was_continued(arrange):
    trainer = arrange(latest=4, best=3)
    continue_run(trainer)
    trainer.dataloader_train = iter(())  # as after the training
    trainer.load_checkpoint(f"{trainer.output_folder}/{BEST}")
    assert trainer.current_epoch == 3


def test_a_longer_training_continues_a_shorter_one_that_is_copied_into_its_folder(arrange):
    trainer = arrange("nnUNetTrainerEAB_30epochs_5iters", final=12, best=9)
    continue_run(trainer)
    assert (trainer.current_epoch, trainer.num_epochs) == (12, 30)
    assert f"checkpoint_final.pth is of {NAME}: 12 of the 30 epochs of nnUNetTrainerEAB_30epochs_5iters are done" in log_of(
        trainer
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "nnUNetTrainerEAB_10epochs",
            "after 12 epochs, more than the 10 of nnUNetTrainerEAB_10epochs: .* not with fewer",
        ),
        ("nnUNetTrainerEGE_30epochs", f"was written by {NAME}, this is nnUNetTrainerEGE_30epochs: train with -tr {NAME}"),
        ("nnUNetTrainerEABDiceLoss_30epochs", "this is nnUNetTrainerEABDiceLoss_30epochs"),
        ("nnUNetTrainerEABAdan_30epochs", "this is nnUNetTrainerEABAdan_30epochs"),
    ],
)
def test_what_a_run_can_not_be_continued_with(name, reason, arrange):
    with pytest.raises(CheckpointError, match=reason):
        continue_run(arrange(name, final=12))


def test_what_differs_in_length_alone():
    assert same_recipe("nnUNetTrainerEGE", "nnUNetTrainerEGE_3000epochs_5iters")
    assert same_recipe("nnUNetTrainerEGEAdan_2epochs", "nnUNetTrainerEGEAdan")
    assert same_recipe("nnUNetTrainerEGENoMirroring_lr1e-3", "nnUNetTrainerEGE_lr1e-3_9epochsNoMirroring")
    assert not same_recipe("nnUNetTrainerEGE_lr1e-3", "nnUNetTrainerEGE")
    assert not same_recipe("nnUNetTrainerEGEAdan", "nnUNetTrainerEGE")
    assert not same_recipe("nnUNetTrainer", "nnUNetTrainerEGE")
