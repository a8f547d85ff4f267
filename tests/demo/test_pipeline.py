"""The demo from end to end with commands that run at once; the whole of it is run by scripts/demo.sh."""

import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from nnunetv2_ext.demo import anatomy, pipeline
from nnunetv2_ext.demo.pipeline import Pipeline, new_folder
from nnunetv2_ext.errors import ExtensionError, UnknownTrainerError

# Stands in for every command of nnU-Net's: writes what the next step reads, with a file for each call.
COMMAND = """#!{python}
import json, os, shutil, sys
from pathlib import Path

name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
value = lambda option: arguments[arguments.index(option) + 1]
print("chatter of", name)
if name == {failing!r}:
    sys.exit("it went wrong")
if name == "nnUNetv2_plan_and_preprocess":
    architecture = {{"arch_kwargs": {{"features_per_stage": [32, 64]}}}}
    folder = Path(os.environ["nnUNet_preprocessed"], "Dataset952_MNI152Crops")
    folder.mkdir()
    plans = {{"configurations": {{"3d_fullres": {{"architecture": architecture}}}}}}
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
if name == "nnUNetv2_train":
    for epoch in range(3):
        print("Epoch time: 1 s")
if name == "nnUNetv2_predict":
    shutil.copytree(value("-i"), value("-o"))
    for file in Path(value("-o")).glob("*_0000.nii.gz"):
        label = Path(value("-i")).parent / "labelsTs" / file.name.replace("_0000", "")
        shutil.copy(label, value("-o"))
        file.unlink()
if name == "nnUNetv2_evaluate_folder":
    dice = {{"1": {{"Dice": 0.25}}, "2": {{"Dice": 0.75}}}}
    cases = [{{"prediction_file": str(file), "metrics": dice}} for file in sorted(Path(arguments[0]).glob("*.nii.gz"))]
    Path(arguments[1], "summary.json").write_text(json.dumps({{"mean": dice, "metric_per_case": cases}}))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch, template):
    """Puts the commands in place of nnU-Net's, one of which may fail, and leaves the network out."""

    def install(failing: str = "") -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("plan_and_preprocess", "train", "predict", "evaluate_folder"):
            file = folder / f"nnUNetv2_{name}"
            file.write_text(COMMAND.format(python=sys.executable, failing=failing))
            file.chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda command, path: str(folder / command))  # noqa: ARG005
        monkeypatch.setattr(pipeline, "load_template", lambda: template)
        monkeypatch.setattr(anatomy, "BACKS", (30, 66))  # two crops are enough
        monkeypatch.setattr(anatomy, "TRAINING_BOTTOMS", (72,))
        monkeypatch.setattr(anatomy, "TEST_BOTTOMS", (72,))
        monkeypatch.setattr(pipeline, "write_untrained_checkpoint", lambda fold: fold)

    return install


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=100)


def test_it_says_how_long_shows_steps_and_ends_with_table_and_paths(stand_in, console, tmp_path) -> None:
    stand_in()
    demo = Pipeline(tmp_path / "runs", "cpu", "nnUNetTrainerEGE_3epochs", console, verbose=False)
    demo.run()
    output = console.file.getvalue()
    assert "two CPU cores" in output.splitlines()[0]
    assert "3/6 Train EGE_3epochs on cpu\n" in output
    assert "chatter" not in output
    row = next(line for line in output.splitlines() if "EGE, trained" in line)
    assert row.replace("│", " ").split()[-3:] == ["0.250", "0.750", "0.500"]
    paths = [line.split()[0] for line in output.splitlines() if line.startswith(f"  {demo.folder}")]
    assert [Path(path).name for path in paths] == ["comparison.png", "progress.png", "Dataset952_MNI152Crops", "log.txt"]
    assert (demo.folder / "comparison.png").is_file()
    log = (demo.folder / "log.txt").read_text()
    assert log.count("chatter of nnUNetv2_predict") == 2
    assert "-c 3d_narrow -f 0 -tr nnUNetTrainerEGE_3epochs" in log


def test_verbose_shows_what_the_commands_print(stand_in, console, tmp_path) -> None:
    stand_in()
    Pipeline(tmp_path / "runs", "cpu", "nnUNetTrainerEGE", console, verbose=True).run()
    assert "chatter of nnUNetv2_train\n" in console.file.getvalue()


def test_a_failure_ends_in_the_command_s_last_lines(stand_in, console, tmp_path) -> None:
    stand_in(failing="nnUNetv2_train")
    with pytest.raises(ExtensionError, match="it went wrong\n\nnnUNetv2_train ended with status 1"):
        Pipeline(tmp_path / "runs", "cpu", "nnUNetTrainerEGE", console, verbose=False).run()


def test_a_wrong_trainer_makes_no_folder(console, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    with pytest.raises(UnknownTrainerError):
        Pipeline(tmp_path / "runs", "cpu", "nnUNetTrainerEGGE", console, verbose=False)
    assert not (tmp_path / "runs").exists()


def test_every_run_has_a_folder_of_its_own(tmp_path) -> None:
    first, second = new_folder(tmp_path / "demo"), new_folder(tmp_path / "demo")
    assert (first.name, second.name) == ("run_1", "run_2")
    assert first.is_absolute()
