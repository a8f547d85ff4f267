"""The examples of docs/your-network.md, run as they stand there."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli import main
from nnunetv2_ext.paths import PRESET_FOLDERS
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.resolve import trainer_class
from tests.trainers.runs import batch, make_trainer

PAGE = (Path(__file__).parents[1] / "docs/your-network.md").read_text()
EXAMPLES = dict(re.findall(r"```(?:python|toml)\n# ([^\n]+)\n(.*?)```", PAGE, re.DOTALL))
FILES = {Path(name).name: text for name, text in EXAMPLES.items() if name.startswith("~/my_presets/")}
NAMES = ["SEUNet", "GHPASkips", "MBTFEDecoder", "TinyNet", "MyUNet"]


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory):
    """The page's files in a folder of the user's, and its package where pip would put it."""
    folder, site = tmp_path_factory.mktemp("my_presets"), tmp_path_factory.mktemp("site-packages")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    settings = dict(re.findall(r'^(\w+) = "(.*)"', EXAMPLES["pyproject.toml"], re.MULTILINE))
    (group,) = re.findall(r'entry-points\."(.*)"', EXAMPLES["pyproject.toml"])
    information = site / "my_nets-1.0.dist-info"
    for directory in (site / "my_nets", information):
        directory.mkdir()
    (site / "my_nets/__init__.py").touch()
    (site / "my_nets/presets.py").write_text(EXAMPLES["my_nets/presets.py"])
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {settings['name']}\nVersion: {settings['version']}\n")
    (information / "entry_points.txt").write_text(f"[{group}]\nmy_nets = {settings['my_nets']}\n")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(PRESET_FOLDERS, str(folder))
        monkeypatch.syspath_prepend(site)
        PRESETS.reload()
        yield
    PRESETS.reload()


def test_every_example_is_a_preset():
    assert PRESETS.problems == []
    assert {name for name, preset in PRESETS.items() if preset.origin} == {*NAMES, "PublishedUNet"}
    listed = CliRunner().invoke(main, ["list"]).output
    assert all(f"{name} " in listed for name in NAMES)


@pytest.mark.parametrize("plan", ["2d", "3d_anisotropic"])
@pytest.mark.parametrize("name", [*NAMES, "PublishedUNet"])
def test_every_preset_trains(name, plan, tmp_path, monkeypatch):
    trainer = make_trainer(f"nnUNetTrainer{name}", tmp_path, monkeypatch, plan=plan)
    trainer.initialize()
    assert trainer.train_step(batch(trainer))["loss"] < 10


def test_every_trainer_that_the_page_names_exists():
    names = set(re.findall(r"nnUNetTrainer\w+(?:-\d)?", PAGE)) - {"nnUNetTrainer"}
    assert len(names) > 4
    assert all(trainer_class(name) for name in names)


def test_a_preset_is_as_short_as_it_is_said_to_be():
    assert len([line for line in FILES["se_unet.py"].splitlines() if line]) <= 8
    after_network = FILES["tiny_net.py"].partition("PRESET = ")[2]
    assert len(after_network.splitlines()) + 1 <= 12
