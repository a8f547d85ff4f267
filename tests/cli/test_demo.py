"""``nnUNetv2_ext demo``; what it runs is tested in tests/demo, and by scripts/demo.sh as a whole."""

from pathlib import Path

import pytest

from nnunetv2_ext.demo import pipeline


@pytest.fixture
def runs(monkeypatch):
    """The arguments of every pipeline that is run, which runs nothing."""
    started = []

    class Recorded:
        def __init__(self, *arguments):
            self.arguments = arguments

        def run(self):
            started.append(self.arguments[:3])

    monkeypatch.setattr(pipeline, "Pipeline", Recorded)
    return started


def test_options_reach_the_pipeline(command, runs, tmp_path):
    result = command("demo", "--folder", str(tmp_path), "--device", "mps", "--epochs", "3")
    assert result.exit_code == 0, result.output
    assert runs == [(tmp_path, "mps", 3)]


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(command, runs, monkeypatch, available, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    assert command("demo").exit_code == 0
    assert runs == [(Path(".demo"), device, None)]


def test_help_says_what_the_defaults_are(command):
    result = command("demo", "--help")
    assert result.exit_code == 0
    assert f"{pipeline.EPOCHS['cpu']} on a CPU, {pipeline.EPOCHS['cuda']} on a GPU" in " ".join(result.output.split())
    assert "Example: nnUNetv2_ext demo --device cpu" in result.output


def test_usage_error(command, runs):
    assert command("demo", "--epochs", "0").exit_code == 2
    assert not runs
