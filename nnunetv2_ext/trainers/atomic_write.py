"""Files that hold either their old content or the new one, but never half of it; and disks on which that fails."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nnunetv2_ext.errors import DiskError, ExtensionError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def part_of(path: str | Path) -> Path:
    """Where ``path`` is written until it is complete."""
    return Path(f"{path}.part")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file beside ``path``, and renames it to ``path`` once its content is complete and on the disk.

    Whatever ends the process before the renaming leaves ``path`` as it was. For as long as the file is written, the disk holds
    both the old one and the new one.

    Raises:
        DiskError: if the disk is full, over its quota or can't be written to; ``path`` is as it was.
    """
    part = part_of(path)
    with disk_errors(part.parent, {*FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOENT}):
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        # The renaming is on the disk once the folder is. Windows can't open a folder, and some file systems of networks can't
        # synchronise one; there the renaming is as safe as they make it.
        with suppress(OSError):
            descriptor = os.open(part.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def disk_errors(folder: str | Path, numbers: set[int] = FULL) -> Iterator[None]:
    """Turns an error of the disk into one sentence that names the disk and says what to do.

    Args:
        folder: what was being written into.
        numbers: the ``errno`` of the errors that are meant.

    Raises:
        DiskError: in place of an error with one of these numbers, or of another one that was raised while handling it, as
            torch does when it writes a file.
    """
    try:
        yield
    except ExtensionError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in numbers):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise DiskError(f"{cause.strerror}: {folder} can't be written to. {_cure(Path(folder), cause.errno)}") from error


def _cure(folder: Path, number: int | None) -> str:
    disk = folder.resolve()
    while not (os.path.ismount(disk) or disk == disk.parent):
        disk = disk.parent
    kept = "The checkpoints in the folder are as they were; continue with --c."
    if number not in FULL:
        return f"It is on the disk {disk}: make it writable. {kept}"
    usage = shutil.disk_usage(disk)
    free, total = (f"{size / 2**20:,.0f}" for size in (usage.free, usage.total))
    return f"Its disk, {disk}, has {free} of {total} MB free: make room there, or have your quota raised. {kept}"
