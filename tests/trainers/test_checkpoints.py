import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint

from nnunetv2_ext.errors import CheckpointError, DiskError, RunExistsError
from nnunetv2_ext.trainers.atomic_write import part_of
from nnunetv2_ext.trainers.checkpoints import CHECKPOINTS, read_checkpoint, read_checkpoints, same_recipe
from tests.trainers.runs import make_trainer
from tests.trainers.tiny_training import TinyTraining, in_a_fork

FINAL, LATEST, BEST = CHECKPOINTS
NAME = "nnUNetTrainerEAB_12epochs_2iters"


def write(path: Path, *, epochs: int = 1, best: float | None = 0.5, trainer: str = NAME) -> Path:
    weights = {"weight": torch.arange(1000.0)}
    torch.save({"network_weights": weights, "trainer_name": trainer, "current_epoch": epochs, "_best_ema": best}, path)
    return path


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut off": content[:half],
            "not written in the middle": content[:half] + bytes(500) + content[half + 500 :],
            "something else": b"not a checkpoint",
        }[how]
    )


DAMAGES = ["empty", "cut off", "not written in the middle", "something else"]


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


def test_a_file_that_a_killed_process_left_is_removed(tmp_path, monkeypatch):
    training = TinyTraining(tmp_path, monkeypatch)
    trainer = training.start("nnUNetTrainerEAB_1epochs_1iters")
    leftover = part_of(training.fold("nnUNetTrainerEAB_1epochs_1iters") / LATEST)
    leftover.write_bytes(b"half of a checkpo")
    trainer.on_train_start()
    assert not leftover.exists()


def assert_equal_runs(one: Path, other: Path) -> None:
    """All that is in the checkpoints: weights, optimizer and curves; only the times differ."""
    contents = [torch.load(path, weights_only=False) for path in (one, other)]
    for content in contents:
        for times in ("epoch_start_timestamps", "epoch_end_timestamps"):
            assert len(content["logging"].pop(times)) == content["current_epoch"]
        del content["init_args"]["device"]
    first, second = ({name: plain(value) for name, value in content.items()} for content in contents)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name] == second[name], name


def plain(content):
    """With lists in place of tensors, so that it can be compared."""
    if isinstance(content, torch.Tensor):
        return content.tolist()
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list | tuple) else content


def stop_in(training: TinyTraining, name: str, epoch: int) -> None:
    """Stops a training in the first step of this epoch."""
    trainer = training.start(name, fixed_data=True)
    step = trainer.train_step
    steps = iter(range(trainer.num_iterations_per_epoch * epoch))

    def train_step(batch):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(batch)

    trainer.train_step = train_step
    with contextlib.suppress(KeyboardInterrupt):
        trainer.run_training()
    assert trainer.current_epoch == epoch


@pytest.mark.parametrize(
    "name",
    [
        "EABAdamW_3epochs_2iters",
        pytest.param("EGEUNet_3epochs_2iters", marks=pytest.mark.slow),
        pytest.param("GatedAxialUNet_12epochs_1iters", marks=pytest.mark.slow),
        pytest.param("MBTFEAdanCEThenDiceLoss_3epochs_2iters", marks=pytest.mark.slow),
    ],
)
def test_a_continued_run_equals_one_that_was_never_stopped(name, tmp_path, monkeypatch):
    """Optimizer, schedule, gates, loss and curves, where the data are the same."""
    name = f"nnUNetTrainer{name}"
    runs = {}
    for how in ("at once", "stopped"):
        runs[how] = TinyTraining(tmp_path / how, monkeypatch)
        if how == "stopped":
            stop_in(runs[how], name, epoch=2)
        runs[how].train(name, continue_training=how == "stopped", fixed_data=True)
    assert_equal_runs(*(run.fold(name) / FINAL for run in runs.values()))
    assert_equal_runs(*(run.fold(name) / BEST for run in runs.values()))


@pytest.mark.slow
def test_killed_at_thirty_random_moments_every_checkpoint_is_whole_and_the_run_ends_as_if_it_never_had_been(
    tmp_path, monkeypatch
):
    trainer = "nnUNetTrainerEAB_6epochs_2iters"
    uninterrupted = TinyTraining(tmp_path / "uninterrupted", monkeypatch)
    began = time.monotonic()
    assert os.waitpid(in_a_fork(lambda: uninterrupted.train(trainer, fixed_data=True), tmp_path / "log.txt"), 0)[1] == 0
    duration = time.monotonic() - began

    killed = TinyTraining(tmp_path / "killed", monkeypatch)
    fold, moments = killed.fold(trainer), random.Random(0)
    kills = kills_while_writing = finished = 0
    while kills < 30 or not finished:
        process = in_a_fork(lambda: killed.train(trainer, continue_training=True, fixed_data=True), tmp_path / "log.txt")
        ended = None
        if kills < 30:
            if kills % 3:
                ended = wait(process, moments.uniform(0, duration / 2))
            else:
                ended = wait(process, 60, until=lambda: any(fold.glob("*.part")))
                time.sleep(moments.uniform(0, 0.05))
            if ended is None:
                os.kill(process, signal.SIGKILL)
                kills += 1
        if ended is None:
            _, ended = os.waitpid(process, 0)
        assert ended in (0, signal.SIGKILL), (tmp_path / "log.txt").read_text()
        for part in fold.glob("*.part"):
            part.unlink()
            kills_while_writing += 1
        for name in CHECKPOINTS:
            if (fold / name).is_file():
                read_checkpoint(fold / name)
                torch.load(fold / name, weights_only=False)
        if ended == 0:
            assert_equal_runs(fold / FINAL, uninterrupted.fold(trainer) / FINAL)
            shutil.rmtree(fold)
            finished += 1
    assert kills_while_writing >= 5


def wait(process: int, seconds: float, until=lambda: False) -> int | None:
    """The status with which the process ended, or None if the seconds passed first, or what was waited for happened."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    return None
