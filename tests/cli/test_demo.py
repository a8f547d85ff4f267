"""``nnUNetv2_ext demo``; what it runs is tested in tests/demo, and by scripts/demo.sh as a whole."""

from pathlib import Path

import pytest

from nnunetv2_ext.demo import pipeline, trainer


@pytest.fixture
def runs(monkeypatch):
    """The arguments of every pipeline that is run, which runs nothing."""
    started = []

    class Recorded:
        def __init__(self, folder, device, trainer, _console, *, verbose):
            self.arguments = folder, device, trainer, verbose

        def run(self):
            started.append(self.arguments)

    monkeypatch.setattr(pipeline, "Pipeline", Recorded)
    return started


def test_options_reach_the_pipeline(command, runs, tmp_path):
    options = ("--device", "mps", "--trainer", "nnUNetTrainerMedT", "--verbose")
    result = command("demo", "--folder", str(tmp_path), *options)
    assert result.exit_code == 0, result.output
    assert runs == [(tmp_path, "mps", "nnUNetTrainerMedT", True)]


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(command, runs, monkeypatch, available, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    assert command("demo").exit_code == 0
    assert runs == [(Path(".demo"), device, trainer.DEFAULT, False)]


def test_help_names_the_trainer_and_its_length(command):
    output = " ".join(command("demo", "--help").output.split())
    assert f"[default: {trainer.DEFAULT}]" in output
    assert trainer.LENGTH in output


def test_usage_error(command, runs):
    assert command("demo", "--device", "abacus").exit_code == 2
    assert not runs


def test_a_folder_that_can_not_be_made_is_said(runs, tmp_path, command):
    (tmp_path / "file").touch()
    error = command("demo", "--folder", str(tmp_path / "file" / "demo")).exception
    assert "can't be used as a folder" in str(error)
    assert runs == []
