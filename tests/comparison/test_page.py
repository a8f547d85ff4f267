"""The page's content, and how a real browser shows it."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from nnunetv2_ext.comparison.page import write_page
from nnunetv2_ext.comparison.slices import COLOURS
from tests.comparison.pictures import compared, write_results

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1180,4000"
)


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    write_results(tmp_path / "raw", tmp_path / "results")
    comparison, models = compared(tmp_path / "results")
    write_page(comparison, models, tmp_path / "page.html")
    return tmp_path / "page.html"


def test_has_everything_and_needs_nothing_else(page) -> None:
    text = page.read_text()
    assert "<b>EGE</b> is better than nnUNetTrainer" in text
    assert 'role="img" aria-label="Dice of EGE against nnUNetTrainer, by case"' in text
    assert "pseudo Dice over the epochs" in text
    assert "nnUNetv2_train 5 3d_fullres 0 -tr nnUNetTrainerEGE" in text
    assert "torch 2.4.0" in text
    assert text.count("<figure>") == 4 * 3
    assert set(re.findall(r'(?:src|href)="([^:"]*):', text)) == {"data"}
    assert "http" not in text
    assert "<script" not in text
    assert str(page.parent) not in text


def test_names_are_escaped(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    write_results(tmp_path / "raw", tmp_path / "results")
    comparison, models = compared(tmp_path / "results")
    comparison.notes.append("<script>alert(1)</script>")
    write_page(comparison, models, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert "No pictures: " in text  # there are no images where nnUNet_raw points
    assert "<svg" in text


def test_a_prediction_that_is_missing_leaves_out_the_pictures(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    write_results(tmp_path / "raw", tmp_path / "results")
    for file in (tmp_path / "results").rglob("validation/*.nii.gz"):
        file.unlink()
    comparison, models = compared(tmp_path / "results")
    write_page(comparison, models, tmp_path / "page.html")
    assert re.search(r"No pictures: .*case_.*\.nii\.gz doesn&#39;t exist", (tmp_path / "page.html").read_text())


def test_an_undefined_difference_has_no_p(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    write_results(tmp_path / "raw", tmp_path / "results")
    comparison, models = compared(tmp_path / "results")
    difference = comparison.entries[1].estimates["dice"]["foreground"].difference
    difference.mean = difference.low = difference.high = difference.p_holm = float("nan")
    write_page(comparison, models, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "undefined" in text
    assert "p&nbsp;" not in text


def test_one_trainer_alone_has_scores_and_curves(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    write_results(tmp_path / "raw", tmp_path / "results")
    comparison, models = compared(tmp_path / "results")
    comparison.entries = comparison.entries[:1]
    write_page(comparison, models[:1], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "1 trainer" in text
    assert 'id="intervals"' not in text
    assert 'id="curves"' in text


@pytest.mark.slow
def test_a_browser_shows_table_charts_and_pictures(page, tmp_path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(BROWSERS)}")

    def run(*arguments: str) -> str:
        command = [browser, *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", *arguments, page.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    dom = run("--dump-dom")
    rows = re.findall(r"<tr><td>(.*?)</td>", dom)
    assert rows[:2] == ["nnUNetTrainer", "EGE"]
    assert dom.count("<svg") == 5
    shots = {}
    for scheme, light in (("light", 1), ("dark", 0)):
        file = tmp_path / f"{scheme}.png"
        run(f"--blink-settings=preferredColorScheme={light}", f"--screenshot={file}")
        shots[scheme] = np.array(Image.open(file).convert("RGB")).astype(int)
        for colour in COLOURS[:2]:  # the outlines of organ and lesion: the pictures were decoded
            assert (np.abs(shots[scheme] - colour).max(-1) < 12).sum() > 200
    assert shots["light"][0, 0].min() > 200
    assert shots["dark"][0, 0].max() < 60
