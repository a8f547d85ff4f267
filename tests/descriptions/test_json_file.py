import pytest

from nnunetv2_ext.descriptions.json_file import read_json_file
from nnunetv2_ext.errors import DatasetError


def test_what_the_file_holds(tmp_path):
    (tmp_path / "a.json").write_text('{"name": "größer"}', encoding="utf-8")
    assert read_json_file(tmp_path / "a.json", dict, "") == {"name": "größer"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"name": ', "no valid JSON, it may be cut off"),
        (b"", "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[1]", "should hold an object and holds list"),
    ],
    ids=["cut off", "empty", "no text", "too deep", "another kind"],
)
def test_what_it_can_not_be_is_said_with_the_cure(tmp_path, content, message):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"a\.json.*{message}.*Make it again\.$"):
        read_json_file(file, dict, "Make it again.")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"doesn't exist\. Make it again\."):
        read_json_file(tmp_path / "a.json", list, "Make it again.")


def test_a_folder_in_its_place(tmp_path):
    with pytest.raises(DatasetError, match="can't be read"):
        read_json_file(tmp_path, dict, "")
