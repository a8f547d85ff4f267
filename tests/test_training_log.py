import math

from nnunetv2_ext.training_log import read_epochs
from tests.comparison.results import write_log


def test_reads_what_nnunet_writes(tmp_path) -> None:
    write_log(tmp_path, 3)
    epochs = read_epochs(tmp_path)
    assert list(epochs) == [0, 1, 2]
    assert (epochs[2].train_loss, epochs[2].val_loss, epochs[2].seconds) == (0.8, -0.7, 12.0)
    assert epochs[2].pseudo_dice[0] == 0.2
    assert math.isnan(epochs[2].pseudo_dice[1])


def test_a_continued_run_repeats_what_came_after_its_checkpoint(tmp_path) -> None:
    write_log(tmp_path, 9, name="2026_9_1_00_00_00")
    write_log(tmp_path, 2, start=4, name="2026_10_1_00_00_00", offset=0.05)  # later, though its name sorts first
    epochs = read_epochs(tmp_path)
    assert list(epochs) == [0, 1, 2, 3, 4, 5]
    assert [round(epochs[number].pseudo_dice[0], 2) for number in (3, 4, 5)] == [0.3, 0.45, 0.55]


def test_an_epoch_that_runs_has_no_numbers_yet(tmp_path) -> None:
    (tmp_path / "training_log_2026_1_1_00_00_00.txt").write_text("2026-01-01 00:00:00: Epoch 0 \n")
    assert math.isnan(read_epochs(tmp_path)[0].seconds)
    assert read_epochs(tmp_path / "no_such_folder") == {}


def test_reads_the_plain_numbers_of_numpy_1(tmp_path) -> None:
    lines = "2026-01-01 00:00:00.1:  Epoch 0 \n2026-01-01 00:00:00.1:  Pseudo dice [0.5, nan, 1e-05, 0.0] \n"
    (tmp_path / "training_log_2026_1_1_00_00_00.txt").write_text(lines)
    dice = read_epochs(tmp_path)[0].pseudo_dice
    assert (dice[0], *dice[2:]) == (0.5, 1e-5, 0.0)
    assert math.isnan(dice[1])
