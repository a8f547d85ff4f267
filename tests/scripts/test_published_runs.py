import json

import pytest

from nnunetv2_ext.comparison.reading import read_models
from nnunetv2_ext.runs import Run, State
from scripts.published_runs import pack, unpack

DATASET = "Dataset001_A"


def written_run(results, repeat: int, *, finished: bool = True) -> Run:
    run = Run(results, DATASET, "nnUNetTrainerEGE", "nnUNetPlans", "2d", "0", repeat)
    run.summary_file.parent.mkdir(parents=True)
    (run.model_folder / "dataset.json").write_text('{"file_ending": ".png"}')
    (run.model_folder / "plans.json").write_text('{"plans_name": "nnUNetPlans"}')
    (run.folder / "run_card.json").write_text(json.dumps({"cost": {"epochs": 10 + repeat}}))
    (run.folder / "checkpoint_final.pth").touch()
    cases = [{"prediction_file": "/home/me/a.png", "reference_file": "/data/a.png", "metrics": {"1": {"Dice": 0.5}}}]
    if finished:
        run.summary_file.write_text(json.dumps({"metric_per_case": cases}))
    return run


@pytest.fixture
def runs(tmp_path) -> list[Run]:
    return [written_run(tmp_path / "made", repeat, finished=repeat < 2) for repeat in range(3)]


def test_compare_reads_what_was_published(runs, tmp_path) -> None:
    pack(tmp_path / "docs" / "runs.tar.xz", tmp_path / "made", runs)
    unpack(tmp_path / "docs" / "runs.tar.xz", tmp_path / "there")
    (model,) = read_models([tmp_path / "there"], DATASET, "2d")
    assert sorted(model.finished) == [(0, "0"), (1, "0")]
    for (repeat, _), run in model.finished.items():
        assert run.scores == {"a": {"1": {"Dice": 0.5}}}
        assert run.card["cost"]["epochs"] == 10 + repeat
    assert model.dataset == {"file_ending": ".png"}
    assert not list((tmp_path / "there").rglob("*.pth"))


def test_tells_no_folder_of_the_machine(runs, tmp_path) -> None:
    pack(tmp_path / "runs.tar.xz", tmp_path / "made", runs)
    unpack(tmp_path / "runs.tar.xz", tmp_path / "there")
    texts = [file.read_text() for file in (tmp_path / "there").rglob("*.json")]
    assert not any("/home/me" in text or "/data" in text for text in texts)


def test_equal_runs_make_equal_archives(runs, tmp_path) -> None:
    for name in ("first", "second"):
        pack(tmp_path / name, tmp_path / "made", runs)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_keeps_what_the_results_folder_has(runs, tmp_path) -> None:
    pack(tmp_path / "runs.tar.xz", tmp_path / "made", runs)
    own = written_run(tmp_path / "there", 0)
    own.summary_file.write_text('{"metric_per_case": []}')
    unpack(tmp_path / "runs.tar.xz", tmp_path / "there")
    assert json.loads(own.summary_file.read_text()) == {"metric_per_case": []}
    assert Run(tmp_path / "there", DATASET, "nnUNetTrainerEGE", "nnUNetPlans", "2d", "0", 1).state() is State.FINISHED
