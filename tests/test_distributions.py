"""What ``python -m build`` makes: everything a user or a packager needs, and nothing else."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import nnunetv2_ext

pytestmark = pytest.mark.slow  # two builds, some seconds

ROOT = Path(__file__).parents[1]
BESIDE_THE_PACKAGE = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "NOTICE",
    "README.md",
    "pyproject.toml",
    "setup.py",
}
WRITTEN_BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}
NAME = f"nnunetv2_ext-{nnunetv2_ext.__version__}"


def sources(*folders: str) -> set[str]:
    """The files of folders of the repository, as they are in a fresh checkout."""
    files = (file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file())
    return {str(file.relative_to(ROOT)) for file in files if file.suffix != ".pyc" and file.name != ".DS_Store"}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the wheel and the source distribution, from which the wheel is built."""
    source, output = (tmp_path_factory.mktemp(name) for name in ("source", "dist"))
    for name in BESIDE_THE_PACKAGE:
        shutil.copy(ROOT / name, source)
    for name in ("nnunetv2_ext", "tests", "docs", "scripts"):
        shutil.copytree(ROOT / name, source / name)  # caches and all
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(file.name for file in output.iterdir()) == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]
    return output


def test_the_wheel_holds_the_package_and_its_licence(built) -> None:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        files = set(wheel.namelist())
        metadata = wheel.read(f"{NAME}.dist-info/METADATA").decode()
        commands = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    information = {name for name in files if name.startswith(f"{NAME}.dist-info/")}
    assert files - information == sources("nnunetv2_ext")
    assert "nnunetv2_ext/trainers/shim/nnunetv2_ext_trainers.py" in files, "what nnUNet_extTrainer leads to"
    assert {f"{NAME}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= information
    assert f"\nVersion: {nnunetv2_ext.__version__}\n" in metadata
    assert (ROOT / "README.md").read_text().splitlines()[0] in metadata
    assert "nnUNetv2_ext = nnunetv2_ext.cli:main" in commands


def test_the_source_distribution_holds_what_a_packager_builds_and_tests_from(built) -> None:
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        files = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    information = {name for name in files if name.startswith("nnunetv2_ext.egg-info/")}
    folders = sources("nnunetv2_ext", "tests", "docs", "scripts")
    assert files - information == folders | BESIDE_THE_PACKAGE | WRITTEN_BY_SETUPTOOLS


def test_the_version_is_in_one_place() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert 'version = { attr = "nnunetv2_ext.__version__" }' in project
