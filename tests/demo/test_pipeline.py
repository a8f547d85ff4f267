"""The demo's folders; the whole demo is run by scripts/demo.sh."""

from nnunetv2_ext.demo.pipeline import new_folder


def test_every_run_has_a_folder_of_its_own(tmp_path) -> None:
    first, second = new_folder(tmp_path / "demo"), new_folder(tmp_path / "demo")
    assert (first.name, second.name) == ("run_1", "run_2")
    assert first.is_absolute()
