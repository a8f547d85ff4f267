import pytest
from click.testing import CliRunner

from nnunetv2_ext.cli.compare import compare
from nnunetv2_ext.cli.profile import profile

OPTIONS = [(compare, name) for name in ("--csv", "--markdown", "--latex", "--html")] + [(profile, "--csv"), (profile, "--plot")]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_folder_that_is_missing_is_refused_before_anything_is_read(tmp_path, command, option) -> None:
    output = CliRunner().invoke(command, ["-d", "5", option, str(tmp_path / "missing" / "file")])
    assert output.exit_code == 2
    assert "missing doesn't exist; make it first" in " ".join(output.stderr.split())


def test_a_folder_that_is_read_only_is_refused_before_anything_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    output = CliRunner().invoke(compare, ["-d", "5", "--csv", str(tmp_path / "file")])
    assert output.exit_code == 2
    assert "is read-only for you; name a file in another one" in " ".join(output.stderr.split())
