"""Zip files that every program reads alike."""

import struct
import zipfile
from pathlib import PurePosixPath
from typing import IO

from nnunetv2_ext.errors import UnsafeFileError

LOCAL_HEADER, END, ZIP64_END, ZIP64_LOCATOR = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


def open_zip(stream: IO[bytes], name: str) -> zipfile.ZipFile:
    """The zip, if nothing is in front of it or behind it.

    Python looks for the list of members at the end of the file and passes over what is in front. PyTorch unpickles a file
    that doesn't begin like a zip, and reads the list of members at the offset that the end names.

    Raises:
        BadZipFile: if it is no zip.
        UnsafeFileError: if it is empty, or another program could read something else in it.
    """
    archive = zipfile.ZipFile(stream)
    stream.seek(0)
    first = stream.read(len(LOCAL_HEADER))
    if first == END:  # what nnUNetv2_export_model_to_zip leaves behind when it finds no model
        raise UnsafeFileError(f"{name} is an empty zip: make it again, or get it again from where it comes from.")
    stream.seek(archive.start_dir)
    if first != LOCAL_HEADER or _offset_of_members(stream.read(), archive.start_dir) != archive.start_dir:
        raise UnsafeFileError(
            f"{name} has something in front of its zip, inside its end or behind it, so another program may read something "
            "else in it. Don't load it; get it again from where it comes from."
        )
    return archive


def folded(name: str) -> str:
    """The name of a member in the form in which Windows, macOS and PyTorch compare names."""
    return str(PurePosixPath(name.replace("\\", "/"))).casefold()


def _offset_of_members(tail: bytes, start: int) -> int | None:
    """Where the end of a zip says that its list of members begins; None if the end isn't a plain one.

    Args:
        tail: the file from where Python read the list of members.
        start: where that is in the file.
    """
    end, locator, zip64_end = tail[-22:], tail[-42:-22], tail[-98:-42]
    if not end.startswith(END) or not end.endswith(b"\0\0"):
        return None
    if not locator.startswith(ZIP64_LOCATOR):
        return int(struct.unpack_from("<I", end, 16)[0])
    if not zip64_end.startswith(ZIP64_END) or struct.unpack_from("<Q", locator, 8)[0] != start + len(tail) - 98:
        return None
    return int(struct.unpack_from("<Q", zip64_end, 48)[0])
