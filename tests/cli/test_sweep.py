import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli.sweep import _gpus, sweep
from tests.tiny import NAME, make_tiny_dataset


@pytest.fixture
def results(tmp_path, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    make_tiny_dataset(tmp_path / "nnUNet_raw", tmp_path / "nnUNet_preprocessed", preprocess=False)
    data = tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d_fullres"
    data.mkdir()
    (data / "case_0.b2nd").touch()
    return tmp_path / "nnUNet_results"


def _sweep(*arguments: str):
    return CliRunner().invoke(sweep, ["-d", "8", "-tr", "nnUNetTrainer", "nnUNetTrainerEGE", *arguments])


def test_a_dry_run_prints_commands_that_can_be_pasted(results) -> None:
    finished = results / NAME / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "fold_0" / "validation"
    finished.mkdir(parents=True)
    (finished / "summary.json").write_text("{}")
    output = _sweep("-f", "00", "0", "--repeats", "2", "--device", "cpu", "--dry-run")
    assert output.exit_code == 0, output.output
    lines = output.stdout.splitlines()
    assert lines[0] == f"# finished: {finished.parent}"
    assert lines[1].startswith(f"nnUNet_results={results} nnUNet_extTrainer=")
    assert lines[1].endswith(f"nnUNetv2_train {NAME} 3d_fullres 0 -tr nnUNetTrainerEGE -p nnUNetPlans -device cpu")
    assert lines[2].startswith(f"nnUNet_results={results}/repeat_1 ")
    assert len(lines) == 4
    assert sorted(path.name for path in results.iterdir()) == [NAME]  # nothing was written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "five"], "'five' is neither a number nor 'all'"),
        (["--slurm-option", "partition=gpu"], "--slurm-option needs --slurm"),
        (["--slurm", "--slurm-option", "partition"], "'partition' is not of the form KEY=VALUE"),
    ],
)
def test_wrong_options(arguments, message) -> None:
    output = _sweep(*arguments)
    assert output.exit_code == 2
    assert message in " ".join(output.stderr.split())


def test_without_a_cluster_it_says_so(results, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(results))
    output = _sweep("--slurm")
    assert output.exit_code == 2
    assert 'Could not detect "srun"' in output.stderr


def test_an_option_that_submitit_lacks_is_said(results, monkeypatch) -> None:
    (results / "srun").touch(0o755)
    monkeypatch.setenv("PATH", str(results))
    output = _sweep("--slurm", "--slurm-option", "colour=red")
    assert output.exit_code == 2
    assert "Unknown argument 'colour' for executor 'slurm'" in output.stderr


def test_everything_finished_is_nothing_to_do(results) -> None:
    for trainer in ("nnUNetTrainer", "nnUNetTrainerEGE"):
        folder = results / NAME / f"{trainer}__nnUNetPlans__3d_fullres" / "fold_0" / "validation"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text("{}")
    output = _sweep("-f", "0", "--device", "cpu")
    assert output.exit_code == 0
    assert "2 runs: 2 are finished, 0 to do" in output.stderr


@pytest.mark.parametrize(("visible", "count", "gpus"), [("3,GPU-x", 2, ["3", "GPU-x"]), ("2,9", 1, ["2"]), ("", 2, ["0", "1"])])
def test_the_gpus_that_are_shared_out(visible, count, gpus, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _gpus() == gpus
