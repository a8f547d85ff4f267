import os
from pathlib import Path

from nnunetv2_ext.runs import Run, State, repeats_in


def _run(results: Path, repeat: int = 0) -> Run:
    return Run(results, "Dataset001_A", "T", "P", "2d", "3", repeat)


def test_repeats_have_results_folders_of_their_own(tmp_path) -> None:
    assert _run(tmp_path).folder == tmp_path / "Dataset001_A" / "T__P__2d" / "fold_3"
    assert _run(tmp_path, 2).folder == tmp_path / "repeat_2" / "Dataset001_A" / "T__P__2d" / "fold_3"
    assert _run(tmp_path, 2).root == tmp_path / "repeat_2"
    assert len({_run(tmp_path, repeat).name for repeat in range(3)}) == 3


def test_finds_repeats(tmp_path) -> None:
    for name in ("repeat_2", "repeat_10", "repeat_x", "repeat_01"):
        (tmp_path / name).mkdir()
    assert repeats_in(tmp_path) == [0, 2, 10]


def test_tells_from_the_files_how_far_a_run_got(tmp_path) -> None:
    run = _run(tmp_path)
    assert run.state() is State.NEW
    run.summary_file.parent.mkdir(parents=True)
    (run.folder / "checkpoint_best.pth").touch()
    assert run.state() is State.CUT_OFF
    (run.folder / "checkpoint_final.pth").touch()
    assert run.state() is State.TRAINED
    run.summary_file.write_text('{"mean')  # killed while it was written
    assert run.state() is State.TRAINED
    run.summary_file.write_text('{"mean": {}}')
    assert run.state() is State.FINISHED


def test_a_finished_run_that_was_continued_is_cut_off(tmp_path) -> None:
    run = _run(tmp_path)
    run.summary_file.parent.mkdir(parents=True)
    run.summary_file.write_text('{"mean": {}}')
    checkpoints = {name: run.folder / f"checkpoint_{name}.pth" for name in ("final", "latest")}
    for second, file in enumerate((checkpoints["latest"], checkpoints["final"], run.summary_file)):
        file.touch()
        os.utime(file, (second, second))
    assert run.state() is State.FINISHED  # with a checkpoint that nobody removed
    os.utime(checkpoints["latest"], (9, 9))
    assert run.state() is State.CUT_OFF
    os.utime(checkpoints["final"], (10, 10))
    assert run.state() is State.TRAINED
