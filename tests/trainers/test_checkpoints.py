import errno
import shutil
from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from nnunetv2_ext.errors import CheckpointError, DiskError, RunExistsError
from nnunetv2_ext.trainers.atomic_write import part_of
from nnunetv2_ext.trainers.checkpoints import CHECKPOINTS, read_checkpoint, read_checkpoints
from tests.trainers.damage import DAMAGES, damage
from tests.trainers.runs import make_trainer
from tests.trainers.tiny_training import TinyTraining

FINAL, LATEST, BEST = CHECKPOINTS
NAME = "nnUNetTrainerEAB_12epochs_2iters"


def write(path: Path, *, epochs: int = 1, best: float | None = 0.5, trainer: str = NAME) -> Path:
    weights = {"weight": torch.arange(1000.0)}
    torch.save({"network_weights": weights, "trainer_name": trainer, "current_epoch": epochs, "_best_ema": best}, path)
    return path


def test_reads_what_a_checkpoint_says(tmp_path):
    checkpoint = read_checkpoint(write(tmp_path / LATEST, epochs=7))
    assert (checkpoint.path, checkpoint.trainer, checkpoint.epochs) == (tmp_path / LATEST, NAME, 7)
    assert checkpoint.best_dice == 0.5


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_is_found_wherever_it_is(how, tmp_path):
    damage(write(tmp_path / LATEST), how)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / LATEST)


def test_a_file_of_torch_that_is_no_checkpoint(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / LATEST)
    with pytest.raises(CheckpointError, match="KeyError"):
        read_checkpoint(tmp_path / LATEST)


@pytest.mark.parametrize(
    ("epochs", "dice", "newest"),
    [
        ({FINAL: 12, BEST: 9}, {}, FINAL),
        ({LATEST: 6, BEST: 3}, {}, LATEST),
        ({LATEST: 6, BEST: 9}, {}, BEST),
        ({FINAL: 4, LATEST: 6, BEST: 3}, {}, LATEST),  # copied from a shorter run
        ({LATEST: 6, BEST: 3}, {LATEST: 0.3, BEST: 0.4}, LATEST),  # BEST copied from a run that did better
        ({LATEST: 6, BEST: 6}, {LATEST: 0.3, BEST: 0.4}, BEST),
        ({LATEST: 6, BEST: 6}, {LATEST: None, BEST: 0.0}, BEST),
        ({LATEST: 6, BEST: 3}, {BEST: float("nan")}, LATEST),
    ],
)
def test_the_newest_is_first(epochs, dice, newest, tmp_path):
    for name, count in epochs.items():
        write(tmp_path / name, epochs=count, best=dice.get(name, 0.5))
    whole, damaged = read_checkpoints(tmp_path)
    assert whole[0].path.name == newest
    assert len(whole) == len(epochs)
    assert not damaged


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_run_that_is_there_is_not_overwritten(checkpoint, tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    trainer.initialize()
    trainer.save_checkpoint(f"{trainer.output_folder}/{checkpoint}")
    with pytest.raises(RunExistsError, match=rf"already holds a run \({checkpoint}\).*Add --c to continue"):
        trainer.on_train_start()


def test_a_run_is_not_continued_without_checkpoints(tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    training.train("nnUNetTrainerEAB_1epochs_1iters")
    folder = training.fold("nnUNetTrainerEAB_2epochs_1iters")
    shutil.copytree(training.fold("nnUNetTrainerEAB_1epochs_1iters"), folder)
    (folder / FINAL).rename(folder / LATEST)
    trainer = training.start("nnUNetTrainerEAB_2epochs_1iters", continue_training=True)
    trainer.disable_checkpointing = True
    with pytest.raises(RunExistsError, match=r"would lose checkpoint_latest\.pth.*Leave out --disable_checkpointing"):
        trainer.run_training()
    assert (folder / LATEST).is_file()


def test_a_disk_that_is_full_elsewhere_is_not_taken_for_that_of_the_results(tmp_path, monkeypatch):
    trainer = TinyTraining(tmp_path, monkeypatch).start("nnUNetTrainerEAB_1epochs_1iters")

    def fail(_batch):
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "elsewhere/kernels.py")
        except OSError:
            raise RuntimeError("the compiler failed")  # noqa: B904

    monkeypatch.setattr(trainer, "train_step", fail)
    with pytest.raises(RuntimeError, match="the compiler failed"):
        trainer.run_training()


def test_a_training_removes_the_scores_of_earlier_weights(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    monkeypatch.setattr("nnunetv2.training.nnUNetTrainer.nnUNetTrainer.nnUNetTrainer.on_train_start", lambda _: None)
    trainer.initialize()
    summary = Path(trainer.output_folder, "validation", "summary.json")
    summary.parent.mkdir()
    summary.write_text("{}")
    trainer.on_train_start()
    assert not summary.exists()


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    trainer = make_trainer("nnUNetTrainerEAB", tmp_path, monkeypatch)
    trainer.initialize()
    trainer.local_rank = 1
    trainer.save_checkpoint(f"{trainer.output_folder}/{LATEST}")
    trainer.local_rank, trainer.disable_checkpointing = 0, True
    trainer.save_checkpoint(f"{trainer.output_folder}/{LATEST}")
    assert not [path for path in Path(trainer.output_folder).iterdir() if path.name.startswith("checkpoint")]


def test_a_full_disk_ends_the_training_in_a_sentence_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    training = TinyTraining(tmp_path, monkeypatch)
    training.train("nnUNetTrainerEAB_1epochs_1iters")
    copied = training.fold("nnUNetTrainerEAB_2epochs_1iters")
    shutil.copytree(training.fold("nnUNetTrainerEAB_1epochs_1iters"), copied)
    before = {name: (copied / name).read_bytes() for name in (FINAL, BEST)}
    trainer = training.start("nnUNetTrainerEAB_2epochs_1iters", continue_training=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"can't be written to. Its disk, .*continue with --c"):
            trainer.run_training()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {name: (copied / name).read_bytes() for name in (FINAL, BEST)} == before
    assert not list(copied.glob("*.part"))


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path, monkeypatch):
    other = make_trainer("nnUNetTrainerMBTFE", tmp_path, monkeypatch)
    other.initialize()
    other.save_checkpoint(str(tmp_path / "other.pth"))
    trainer = make_trainer("nnUNetTrainerEGE", tmp_path, monkeypatch)
    with pytest.raises(CheckpointError, match="was written by nnUNetTrainerMBTFE, this is nnUNetTrainerEGE: train with -tr"):
        trainer.load_checkpoint(str(tmp_path / "other.pth"))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_refused_where_it_alone_will_do(how, tmp_path, monkeypatch):
    trainer = make_trainer(NAME, tmp_path, monkeypatch)
    path = write(Path(trainer.output_folder, FINAL))
    write(Path(trainer.output_folder, BEST))
    damage(path, how)
    with pytest.raises(CheckpointError, match=rf"{path} can't be read as a checkpoint .* with --c continues from the newest"):
        maybe_load_checkpoint(trainer, False, validation_only=True)


def test_a_file_that_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    trainer = training.start("nnUNetTrainerEAB_1epochs_1iters")
    leftover = part_of(training.fold("nnUNetTrainerEAB_1epochs_1iters") / LATEST)
    leftover.write_bytes(b"half of a checkpo")
    trainer.on_train_start()
    assert not leftover.exists()
