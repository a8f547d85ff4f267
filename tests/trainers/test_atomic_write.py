import errno
import os

import pytest
import torch

from nnunetv2_ext.errors import DiskError
from nnunetv2_ext.trainers.atomic_write import atomic_write, disk_errors

resource = pytest.importorskip("resource", reason="Windows has no limits to the size of a file")


@pytest.fixture
def _files_of_at_most_100_kb():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_the_file_is_the_old_one_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_the_old_file_and_nothing_else(error, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:  # noqa: PT012
        file.write(b"half of the ne")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("_files_of_at_most_100_kb")
def test_what_torch_makes_of_a_full_disk_is_one_sentence(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"old")
    with (
        pytest.raises(DiskError, match=rf"File too large: {tmp_path} can't be written to. Its disk, /.* MB free: make room"),
        atomic_write(path) as file,
    ):
        torch.save(torch.zeros(100_000), file)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_the_content_has_to_reach_the_disk(number, tmp_path, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"old")
    with pytest.raises(DiskError, match=rf"{os.strerror(number)}: .*continue with --c"), atomic_write(path):
        pass
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_gone(tmp_path):
    with (
        pytest.raises(DiskError, match=r"No such file or directory: .*gone can't be written to"),
        atomic_write(tmp_path / "gone/file"),
    ):
        pass


def test_other_errors_are_no_matter_of_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "missing").read_bytes()
