"""nnU-Net's integration test with the EGE network, on a small synthetic dataset."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

SCRIPTS = Path(__file__).parents[2] / "scripts"
TRAINER = "nnUNetTrainerEGE_1epochs_1iters"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import host_integration

    return host_integration


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a trainer, or take --every-preset"),
        ([TRAINER, "--folds", "0", "1"], "3d_cascade_fullres starts from predictions of all cases: it needs 3d_lowres and all"),
        ([TRAINER, "--cases", "4"], "4 is not in the range x>=5"),
        ([TRAINER, "--datasets", "4"], "4 is not in the range 996<=x<=999"),
    ],
)
def test_wrong_usage_exits_with_2_and_makes_no_folder(script, tmp_path, arguments, message):
    result = CliRunner().invoke(script.main, [*arguments, "--folder", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_a_step_that_fails_has_a_log_and_what_needs_it_is_skipped(script, tmp_path, capfd):
    steps = script.Steps(tmp_path / "logs")
    assert steps.call("fine", lambda: print("done"), says="do it")
    assert not steps.call("bad", lambda: 1 / 0)
    assert not steps.call("after it", lambda: None, needs=steps.rows[-1].state == "ok")
    assert not steps.command("a command", "nnUNetv2_nonsense")
    assert [row.state for row in steps.rows] == ["ok", "failed", "skipped", "failed"]
    assert steps.rows[0].log.read_text() == "$ do it\ndone\n"
    assert "ZeroDivisionError" in steps.rows[1].log.read_text()
    script.print_table(steps.rows)
    assert f"bad: see {steps.rows[1].log}" in capfd.readouterr().out


def test_the_cascade_gets_the_predictions_that_nnunet_forgets_to_name(script, tmp_path):
    integration = script.Integration(
        996,
        tmp_path,
        script.Steps(tmp_path / "logs"),
        configurations=script.CONFIGURATIONS,
        folds=script.FOLDS,
        validate_again=False,
        ensembles=True,
        small=True,
        device="cpu",
    )
    file = tmp_path / "nnUNet_results" / script.DATASETS[996] / "inference_instructions.txt"
    file.parent.mkdir(parents=True)
    predict = f"nnUNetv2_predict -d 996 -i INPUT_FOLDER -o OUTPUT_FOLDER -f  0 1 2 3 4 -tr {TRAINER} -c"
    file.write_text(f"***Run inference like this:***\n\n{predict} 3d_cascade_fullres\n{predict} 3d_fullres\n")
    cascade, fullres = integration._instructions()
    previous = tmp_path / "predictions" / "996" / TRAINER / "0_1_2_3_4" / "3d_lowres"
    assert cascade[cascade.index("-prev_stage_predictions") + 1] == str(previous)
    assert "-prev_stage_predictions" not in fullres


@pytest.mark.slow
def test_the_ege_network_goes_the_whole_way(tmp_path):
    folder = tmp_path / "run"
    small = ("--configurations", "2d", "--folds", "0", "--cases", "5")
    ended = subprocess.run(
        [sys.executable, SCRIPTS / "host_integration.py", TRAINER, "--folder", folder, *small],
        capture_output=True,
        text=True,
        check=False,
    )
    logs = "".join(file.read_text() for file in sorted((folder / "logs").iterdir())[-3:])
    assert ended.returncode == 0, ended.stdout + ended.stderr + logs
    assert "996 best check" in ended.stdout
