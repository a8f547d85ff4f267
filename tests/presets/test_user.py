"""Presets of the user's, from files and from packages: found, resolved, and no broken one takes the others down."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli import main
from nnunetv2_ext.errors import PresetError, UnknownTrainerError
from nnunetv2_ext.paths import PRESET_FOLDERS
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers import resolve
from nnunetv2_ext.trainers.resolve import trainer_class
from tests.trainers.runs import make_trainer

IMPORT = "from nnunetv2_ext.presets import Preset\n"
GOOD = """
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2_ext.presets import Preset

class MyNet(PlainConvUNet):
    "A network of the user's."

PRESET = Preset("MyNet", network=MyNet, optimizer="AdamW")
"""


NETS = """from torch import nn

class Failing(nn.Module):
    def __init__(self, **plan):
        super().__init__()

        1 / 0

class Other(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """Writes files into a folder of the user's, and gives the sentences about what could not be taken."""
    folder = tmp_path / "presets"

    def write(**files: str) -> list[str]:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.setenv(PRESET_FOLDERS, str(folder))
        PRESETS.reload()
        _ = PRESETS.data
        return PRESETS.problems

    yield write
    monkeypatch.undo()
    PRESETS.reload()
    for name in [name for name in resolve._CLASSES if name.startswith("nnUNetTrainerMyNet")]:
        resolve._CLASSES.pop(name)
    for name in [name for name in sys.modules if name.startswith("nnunetv2_ext.user_presets.")]:
        sys.modules.pop(name)


def test_a_file_becomes_a_preset_with_all_suffixes(plug_in, tmp_path, monkeypatch):
    assert plug_in(my_net=GOOD) == []
    preset = PRESETS["MyNet"]
    assert preset.network == "nnunetv2_ext.user_presets.my_net.MyNet"
    assert preset.origin == f"{tmp_path}/presets/my_net.py:8"
    trainer = make_trainer("nnUNetTrainerMyNetNoMirroring_lr1e-3_5epochs", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    assert type(trainer.network).__name__ == "MyNet"
    assert type(trainer.optimizer).__name__ == "AdamW"
    assert trainer.optimizer.param_groups[0]["lr"] == 1e-3
    assert pickle.loads(pickle.dumps(type(trainer))) is type(trainer)


def test_a_network_of_a_file_can_be_unpickled_by_another_process(plug_in, tmp_path):
    plug_in(my_net=GOOD)
    import nnunetv2_ext.user_presets.my_net as module

    (tmp_path / "class.pkl").write_bytes(pickle.dumps(module.MyNet))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'class.pkl')!r}, 'rb')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == "<class 'nnunetv2_ext.user_presets.my_net.MyNet'>\n"


def test_a_preset_of_twelve_lines_reaches_a_file_beside_it(plug_in):
    network = "from dynamic_network_architectures.architectures.unet import PlainConvUNet as MyNet\n"
    preset = (
        "from nnunetv2_ext.presets import Preset\nfrom .parts import MyNet\n"
        'PRESETS = [Preset("MyNet", network=MyNet), Preset("MyNetAgain", network=MyNet)]\n'
    )
    assert plug_in(parts=network, mine=preset) == []
    assert {"MyNet", "MyNetAgain"} <= PRESETS.keys()


def test_files_that_have_nothing_to_do_with_presets_are_not_imported(plug_in):
    assert plug_in(notes="raise RuntimeError('imported')") == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("import not_installed", r"{file}:2: .*ModuleNotFoundError: No module named 'not_installed'"),
        (")", r"{file}:2: .*SyntaxError: unmatched '\)'"),
        ("raise SystemExit(3)", r"{file}:2: .*SystemExit: 3"),
        ("", "{file}: has no preset; write PRESET = "),
        ("P = Preset('My Net', network='a.B')", r"{file}:2: .*can't be named 'My Net'"),
        ("P = Preset('MyNet')", r"{file}:2: .*preset MyNet has no network"),
        ("P = Preset('MyNet', network=3)", r"{file}:2: .*network is 3, need a class, a function or its dotted path"),
        ("P = Preset('MyNet', network='a.B', plan_facts=['patch'])", r"{file}:2: .*no plan fact patch; there are region_based"),
        ("P = Preset('MyNet', network='a.B', arguments={'norm': int})", r"{file}:2: .*what JSON can hold .*type is not JSON"),
        ("P = Preset('EGE', network='a.B')", r"{file}:2: nnunetv2-ext itself has a preset EGE"),
        ("P = Preset('DA5', network='a.B')", r"{file}:2: nnU-Net has a trainer nnUNetTrainerDA5"),
        ("P = Preset('EGEAdan', network='a.B')", r"{file}:2: nnUNetTrainerEGEAdan could mean"),
    ],
)
def test_a_broken_one_is_said_with_file_and_line_and_the_others_work(plug_in, tmp_path, line, sentence):
    (problem,) = plug_in(a_broken=f"{IMPORT}{line}", my_net=GOOD)
    assert re.match(sentence.format(file=tmp_path / "presets/a_broken.py"), problem), problem
    assert trainer_class("nnUNetTrainerMyNet").preset.name == "MyNet"
    assert trainer_class("nnUNetTrainerEGE").preset.origin == ""


def test_a_file_that_may_not_be_read_leaves_the_others(plug_in, tmp_path, monkeypatch):
    def read_text(path, **options):
        if path.name == "private.py":
            raise PermissionError(13, "Permission denied")
        return original(path, **options)

    original = Path.read_text
    monkeypatch.setattr(Path, "read_text", read_text)
    (problem,) = plug_in(private=GOOD, my_net=GOOD)
    assert problem == f"{tmp_path / 'presets/private.py'} can't be read (Permission denied): check its permissions"
    assert trainer_class("nnUNetTrainerMyNet").preset.name == "MyNet"


def test_a_function_may_make_the_network(plug_in, tmp_path, monkeypatch):
    text = f"""{IMPORT}from dynamic_network_architectures.architectures.unet import PlainConvUNet
def build(**plan):
    return PlainConvUNet(**plan)
P = Preset("MyNet", network=build)
"""
    assert plug_in(net=text) == []
    trainer = make_trainer("nnUNetTrainerMyNet", tmp_path, monkeypatch, plan="2d")
    trainer.initialize()
    assert type(trainer.network).__name__ == "PlainConvUNet"


def test_a_hyperparameter_that_nnunet_lacks_is_named(plug_in, tmp_path, monkeypatch):
    assert plug_in(net=GOOD.replace('optimizer="AdamW"', 'hyperparameters={"learning_rate": 1e-4}')) == []
    with pytest.raises(PresetError, match=r"net\.py:\d+: preset MyNet sets learning_rate, .* it has initial_lr"):
        make_trainer("nnUNetTrainerMyNet", tmp_path, monkeypatch, plan="2d")


def test_a_name_that_is_taken_leaves_the_other_presets_of_the_file(plug_in):
    presets = "PRESETS = [Preset('EGE', network='a.B'), Preset('MyNet', network='a.B')]"
    (problem,) = plug_in(two=IMPORT + presets)
    assert "nnunetv2-ext itself has a preset EGE" in problem
    assert "MyNet" in PRESETS


def test_the_module_may_be_imported_in_either_way(plug_in):
    assert plug_in(one="from nnunetv2_ext import presets\nP = presets.Preset('MyNet', network='a.B')") == []
    assert "MyNet" in PRESETS


def test_a_preset_may_be_imported_by_another_file(plug_in):
    assert plug_in(a=GOOD, b="from nnunetv2_ext.presets import Preset\nfrom .a import *") == []
    assert "MyNet" in PRESETS


def test_a_changed_copy_comes_from_where_it_is_made(plug_in, tmp_path):
    imports = "from dataclasses import replace\nfrom nnunetv2_ext.presets import OURS\n"
    assert plug_in(a=f"{imports}P = replace(OURS[0], name='Mine')") == []
    assert PRESETS["Mine"].origin == f"{tmp_path}/presets/a.py:3"


def test_the_second_of_one_name_is_left_out(plug_in, tmp_path):
    (problem,) = plug_in(a=GOOD, b=GOOD)
    assert problem.startswith(f"{tmp_path}/presets/b.py:8: {tmp_path}/presets/a.py:8 has a preset MyNet, too, and comes first")


def test_an_unknown_trainer_is_answered_with_what_was_left_out(plug_in):
    plug_in(broken="from nnunetv2_ext.presets import Preset\n1 / 0")
    with pytest.raises(UnknownTrainerError, match=r"(?s)no trainer nnUNetTrainerMyNet\..*broken\.py:2: .*division by zero"):
        trainer_class("nnUNetTrainerMyNet")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ('"nnunetv2_ext.user_presets.net.NotThere"', r"net\.py:3: there is no nnunetv2_ext\.user_presets\.net\.NotThere"),
        ("Failing", r"nets\.py:7: the network of preset MyNet can't be built for this plan, ZeroDivisionError"),
        ("Other", r"net\.py:\d+: the network of preset MyNet can't be built .* unexpected keyword .*adapt\(\)"),
    ],
)
def test_a_network_that_fails_is_said_with_file_and_line(plug_in, tmp_path, monkeypatch, network, sentence):
    text = f'{IMPORT}from .nets import *\nP = Preset("MyNet", network={network})\n'
    assert plug_in(net=text, nets=NETS) == []
    with pytest.raises(PresetError, match=sentence):
        make_trainer("nnUNetTrainerMyNet", tmp_path, monkeypatch, plan="2d").initialize()


def test_a_package_s_entry_point_is_a_preset(monkeypatch, tmp_path):
    package = tmp_path / "their_package"
    (package / "their_nets").mkdir(parents=True)
    (package / "their_nets/__init__.py").write_text(GOOD.replace("MyNet", "TheirNet"))
    information = package / "their_nets-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: their-nets\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[nnunetv2_ext.presets]\na = their_nets:not_there\nb = their_nets\nc = their_nets_missing\n"
    )
    monkeypatch.syspath_prepend(package)
    PRESETS.reload()
    try:
        assert trainer_class("nnUNetTrainerTheirNet_3epochs").preset.network == "their_nets.TheirNet"
        assert len(PRESETS.problems) == 2
        assert all("package their-nets" in problem for problem in PRESETS.problems)
    finally:
        monkeypatch.undo()
        PRESETS.reload()


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


def test_every_command_knows_it(plug_in):
    plug_in(my_net=GOOD, broken="from nnunetv2_ext.presets import Preset\n1 / 0")
    listed = json.loads(command("list", "--json").stdout)
    assert next(row for row in listed["presets"] if row["preset"] == "MyNet")["origin"].endswith("my_net.py:8")
    assert len(listed["problems"]) == 1
    profiled = command("profile", "--patch", "32", "32", "-tr", "nnUNetTrainerMyNetAdan", "--no-time", "--json")
    assert json.loads(profiled.stdout)["trainers"][1]["parameters"] > 0
    checks = json.loads(command("doctor", "--json").stdout)
    row = next(row for row in checks if row["name"] == PRESET_FOLDERS)
    assert row["state"] == "wrong"
    assert "broken.py:2" in row["found"]


def test_a_folder_that_is_none_is_said(monkeypatch):
    monkeypatch.setenv(PRESET_FOLDERS, "/nowhere/at/all")
    PRESETS.reload()
    assert PRESETS["EGE"]
    assert len(PRESETS.problems) == 1
    assert "nnUNet_extPresets names /nowhere/at/all, which is no folder" in PRESETS.problems[0]
    monkeypatch.undo()
    PRESETS.reload()
