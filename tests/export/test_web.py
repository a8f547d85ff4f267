"""What the page's folder holds, and which models it refuses."""

import json
import re
from dataclasses import replace

import pytest

from nnunetv2_ext.errors import ExportError
from nnunetv2_ext.export import web
from nnunetv2_ext.export.javascript_packages import FILES, VENDOR
from nnunetv2_ext.export.web import PAGE, check_page_can, export_page, write_page
from nnunetv2_ext.runtime.description import read_description
from tests.export.test_page_steps import PLAIN

SOURCES = sorted(file for file in PAGE.rglob("*") if file.suffix in {".html", ".css", ".js"})


@pytest.fixture
def without_npm(monkeypatch):
    monkeypatch.setattr(web, "copy_packages", lambda _, folder: (folder / "vendor").mkdir())


@pytest.fixture
def exportable(monkeypatch):
    """A model whose networks take no time to write."""
    monkeypatch.setattr(web, "check_exportable", lambda model: model)
    monkeypatch.setattr(web, "write_model", lambda model, folder, **_: model.write(folder))
    return PLAIN


@pytest.mark.usefixtures("without_npm")
def test_the_folder_has_the_model_and_the_page(exportable, tmp_path):
    export_page(exportable, tmp_path / "page")
    names = {str(file.relative_to(tmp_path / "page")) for file in (tmp_path / "page").rglob("*") if file.is_file()}
    assert names == {"model.json", *(str(file.relative_to(PAGE)) for file in SOURCES)}
    assert read_description(tmp_path / "page") == exportable


def test_nothing_is_left_where_npm_fails(exportable, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExportError, match="npm is not installed"):
        export_page(exportable, tmp_path / "page")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("without_npm")
@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_a_file_names_only_what_is_in_the_folder(file, tmp_path):
    write_page(tmp_path)
    content = file.read_text(encoding="utf-8")
    assert set(re.findall(r"\w+://[^/\s\"'`)<]*", content)) <= {"http://localhost:8000."}, "no other host"
    named = re.findall(r"(?:from |import |import\()'(\./[^']*|\.\./[^']*)'", content)
    named += re.findall(r"(?:src|href)=\"(?!data:)([^\"]+)\"", content)
    written = {f"vendor/{target}" for target in VENDOR.values()} | {"LICENSES.txt"}
    for name in named:
        target = (tmp_path / file.relative_to(PAGE)).parent.joinpath(name).resolve()
        assert target.is_file() or str(target.relative_to(tmp_path)) in written, name


def test_every_module_of_the_page_is_used():
    imported = {name for file in SOURCES for name in re.findall(r"([\w.]+)\.js['\"]", file.read_text(encoding="utf-8"))}
    assert {file.stem for file in SOURCES if file.suffix == ".js"} <= imported


def test_packages_are_pinned():
    package, lock = (json.loads((PAGE / name).read_text()) for name in FILES[:2])
    for name, version in package["dependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, locked in lock["packages"].items():
        if name:
            assert locked["integrity"].startswith("sha512-")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"file_ending": ".nrrd"}, r"reads NIfTI alone, and this model's images are \.nrrd"),
        ({"reader": "NibabelIOWithReorient"}, "doesn't turn images, which this model's reader, NibabelIOWithReorient, does"),
        ({"data_resampling": replace(PLAIN.data_resampling, order=5)}, "order 0, 1 and 3, and these plans by order 5"),
        ({"labels": {"background": 0, "all": [1, 300]}}, "labels up to 255, and this model has a label 300"),
    ],
)
def test_models_that_the_page_cannot_predict_with(changes, reason):
    check_page_can(PLAIN)
    with pytest.raises(ExportError, match=f"the page .*{reason}.*: export without --web"):
        check_page_can(replace(PLAIN, **changes))
