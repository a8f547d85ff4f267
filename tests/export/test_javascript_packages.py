"""What comes from npm, with an npm that stands in for it."""

import json
import os
import sys

import pytest

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export.javascript_packages import VENDOR, copy_packages
from nnunetv2_ext.export.web import PAGE

PACKAGES = {
    "onnxruntime-web": ("MIT", None),
    "@niivue/niivue": ("BSD-2-Clause", None),
    "fflate": ("MIT", "fflate's own text"),
    "guid-typescript": ("ISC", None),
    "@types/node": ("MIT", "not in the page"),
}


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Writes a command ``npm`` that runs some Python where it is called, and is the only command there is."""
    if os.name == "nt":
        pytest.skip("the stand-in is a script with a shebang")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(program: str) -> None:
        (folder / "npm").write_text(f"#!{sys.executable}\n{program}")
        (folder / "npm").chmod(0o755)

    return write


def test_copies_what_the_page_needs_with_all_licences(npm, tmp_path):
    files = {f"node_modules/{source}": source for source in VENDOR}
    for name, (licence, text) in PACKAGES.items():
        about = {"name": name, "version": "1.2.3", "license": licence, "author": "somebody"}
        files[f"node_modules/{name}/package.json"] = json.dumps(about)
        if text:
            files[f"node_modules/{name}/LICENSE.md"] = text
    npm(
        f"""
import pathlib, sys
assert sys.argv[1:3] == ["ci", "--ignore-scripts"]
assert pathlib.Path("package-lock.json").is_file()
for name, content in {files!r}.items():
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(content)
"""
    )
    copy_packages(PAGE, tmp_path / "page")
    for source, target in VENDOR.items():
        assert (tmp_path / "page" / "vendor" / target).read_text() == source
    licences = (tmp_path / "page" / "LICENSES.txt").read_text()
    assert "onnxruntime-web 1.2.3, licence MIT" in licences
    assert "Copyright (c) 2018 - present Microsoft Corporation" in licences
    assert "Copyright (c) 2021, Niivue" in licences
    assert "fflate's own text" in licences
    assert "guid-typescript 1.2.3, licence ISC\n\nAuthor: somebody" in licences
    assert "not in the page" not in licences


@pytest.mark.usefixtures("npm")
def test_without_npm(tmp_path):
    with pytest.raises(ExportError, match=r"npm is not installed.*install Node\.js"):
        copy_packages(PAGE, tmp_path / "page")


def test_without_a_connection(npm, tmp_path):
    lines = ["npm error code ENOTFOUND", "npm error network request to https://registry.npmjs.org/x failed", "npm error more"]
    npm(f"import sys\nsys.exit({chr(10).join(lines)!r})")
    with pytest.raises(ExportError, match=r"npm could not fetch .* \(network request to .* failed\): check"):
        copy_packages(PAGE, tmp_path / "page")
    assert not (tmp_path / "page").exists()
