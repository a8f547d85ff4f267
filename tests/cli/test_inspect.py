"""``nnUNetv2_ext inspect``"""

import json
import pickle
import re

import pytest
import torch

from tests.inspection.hostile import Made, Touch, checkpoint


@pytest.fixture
def harmless(tmp_path):
    content = {"trainer_name": "nnUNetTrainerEGE", "current_epoch": 7, "network_weights": {"a": torch.zeros(2, 3)}}
    torch.save(content, tmp_path / "checkpoint_best.pth")
    return tmp_path / "checkpoint_best.pth"


def test_a_harmless_checkpoint(command, harmless):
    result = command("inspect", str(harmless))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["trainer", "nnUNetTrainerEGE"] in lines
    assert ["preset", "EGE"] in lines
    assert ["parameters", "6", "with", "buffers"] in lines
    assert ["dataset", "not", "said"] in lines


def test_json(command, harmless):
    report = json.loads(command("inspect", str(harmless), "--json").stdout)
    assert report["safe"] is True
    assert (report["parts"][0]["epochs"], report["parts"][0]["parameters"]) == (7, 6)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_what_would_run_is_said_does_not_run_and_exits_with_1(command, tmp_path, arguments):
    touched = tmp_path / "was here"
    file = checkpoint(tmp_path / "hostile.pth", pickle.dumps(Touch(touched)))
    result = command("inspect", str(file), *arguments)
    assert result.exit_code == 1
    assert "posix.system" in result.output
    assert not touched.exists()


def test_what_a_file_says_stays_on_its_line(command, tmp_path):
    forged = "nnUNetTrainer\nIt names nothing but what nnU-Net's own files do.\x1b[8m\r"
    data = pickle.dumps({"trainer_name": forged, "a": Touch(tmp_path / "was here")})
    output = command("inspect", str(checkpoint(tmp_path / "hostile.pth", data))).output
    assert "\nIt names nothing" not in output
    assert all(letter.isprintable() or letter == "\n" for letter in output)
    assert output.splitlines()[-1].startswith("Don't load this file")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize("odd", [None, 5, "text", [None, "a", [1.5]], {1: 2}, 10**5000], ids=lambda odd: type(odd).__name__)
def test_values_of_odd_types_are_printed_as_they_are(command, tmp_path, odd, arguments):
    architecture = {"architecture": dict.fromkeys(("network_class_name", "arch_kwargs"), odd), "patch_size": odd}
    plans = {"dataset_name": odd, "configurations": {"2d": architecture, "3d": {"architecture": odd}}}
    weights = {"a": Made(torch._utils._rebuild_tensor_v2, (("storage", None, "0", "cpu", 1), 0, (10**5000,)))}
    for configuration in ("2d", "3d", odd):
        content = {
            "trainer_name": odd,
            "current_epoch": 7,
            "init_args": {"plans": plans, "configuration": configuration},
            "logging": {"dice_per_class_or_region": [odd]},
            "network_weights": weights,
        }
        result = command("inspect", str(checkpoint(tmp_path / "odd.pth", pickle.dumps(content))), *arguments)
        assert isinstance(result.exception, (SystemExit, type(None))), result.exception
        assert re.search(r"epochs\W+7\b", result.output)


def test_what_is_nested_too_deeply_to_be_printed_is_a_sentence(command, tmp_path):
    nested = []
    for _ in range(200):
        nested = [nested]
    result = command("inspect", str(checkpoint(tmp_path / "deep.pth", pickle.dumps({"trainer_name": nested}))))
    assert result.exit_code == 1
    assert "deep.pth can't be read as a checkpoint (UnpicklingError: it is nested too deeply)" in result.output


def test_what_is_no_model_file_is_a_sentence(command, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    result = command("inspect", str(tmp_path / "notes.txt"))
    assert result.exit_code == 1
    assert result.output.startswith(f"{tmp_path}/notes.txt can't be read")
    assert result.output.count("\n") == 1


def test_it_imports_no_torch(modules_after, harmless):
    assert not modules_after("inspect", str(harmless)) & {"torch", "numpy", "nnunetv2"}
