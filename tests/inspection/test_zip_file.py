import io
import pickle
import struct
import zipfile

import pytest
import torch

from nnunetv2_ext.errors import UnsafeFileError
from nnunetv2_ext.inspection.zip_file import folded, open_zip
from tests.inspection.hostile import Touch

END = struct.Struct("<4s4H2LH")


def zipped(content=b"content"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return stream.getvalue()


def elsewhere(data):
    """The list of members twice; the end names the first, and Python reads the second."""
    end = END.unpack(data[-END.size :])
    size, offset = end[5], end[6]
    return data[: offset + size] + data[offset : offset + size] + data[-END.size :]


def zip64(data, found_at=0):
    """With the end for large files, which ``found_at`` bytes further are said to be."""
    *_, entries, size, offset, _ = END.unpack(data[-END.size :])
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - END.size + found_at, 1)
    return data[: -END.size] + end + locator + data[-END.size :]


def test_what_torch_writes_is_opened(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth")
    with (tmp_path / "a.pth").open("rb") as stream, open_zip(stream, "a.pth") as archive:
        assert any(name.endswith("/data.pkl") for name in archive.namelist())


@pytest.mark.parametrize("data", [zipped(), zip64(zipped())])
def test_a_plain_zip_is_read_whole(data):
    with open_zip(io.BytesIO(data), "a.zip") as archive:
        assert archive.read("archive/data.pkl") == b"content"


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Touch("was here"), protocol=2) + zipped(),
        b"PK\x03\x04" + zipped(),
        zipped() + b"behind",
        elsewhere(zipped()),
        zip64(zipped(), found_at=-1),
    ],
    ids=["pickle in front", "zip in front", "behind", "two lists", "two ends"],
)
def test_a_zip_that_others_could_read_in_another_way_is_refused(data):
    with pytest.raises(UnsafeFileError, match=r"a.zip has something in front of its zip.*Don't load it"):
        open_zip(io.BytesIO(data), "a.zip")


@pytest.mark.parametrize("name", ["a/b.PTH", "A\\b.pth", "a//./B.pth"])
def test_names_that_are_one_file(name):
    assert folded(name) == "a/b.pth"


def test_an_empty_zip_is_said_to_be_empty():
    with pytest.raises(UnsafeFileError, match=r"a\.zip is an empty zip: make it again"):
        open_zip(io.BytesIO(b"PK\x05\x06" + bytes(18)), "a.zip")
