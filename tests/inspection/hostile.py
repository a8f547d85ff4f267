"""Pickles that would do something if they were unpickled."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.file}'",)


class Made:
    """Unpickled, it is what a call makes."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def opcodes(file: Path) -> dict[str, bytes]:
    """Each of the ways in which a pickle names something and has it called."""
    command = f"touch '{file}'".encode()
    text = b"X" + len(command).to_bytes(4, "little") + command
    return {
        "reduce, protocol 2": pickle.dumps(Touch(file), protocol=2),
        "reduce, protocol 5": pickle.dumps(Touch(file), protocol=5),
        "a name with dots behind a harmless module": b"\x80\x04\x8c\x08torch.nn\x8c\x18modules.module.os.system\x93"
        + text
        + b"\x85R.",
        "inst": b"(" + text + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text + b"o.",
        "newobj": b"\x80\x02cos\nsystem\n" + text + b"\x85\x81.",
        "newobj with keywords": b"\x80\x04cos\nsystem\n" + text + b"\x85}\x92.",
        "build": b"\x80\x02cos\nsystem\n)R}X\x01\x00\x00\x00a" + text + b"sb.",
    }


BROKEN = {
    "empty": b"",
    "cut off": pickle.dumps(list(range(1000)))[:200],
    "no pickle": b"not a pickle",
    "a memo of four billion entries": b"\x80\x02]r\xff\xff\xff\xff0j\x00\x00\x00\x00.",
    "an extension of copyreg": b"\x80\x02\x82\x01.",
    "what a call gave is called": b"cbuiltins\ngetattr\n)R)R.",
    "a state for a name": b"\x80\x02cos\nsystem\n}b.",
    "a key that can't be one": b"}](N\x73.",
    "a pickle of the future": b"\x80\x09N.",
}


def checkpoint(file: Path, data: bytes, *, member: str = "archive/data.pkl") -> Path:
    """A file like those of torch.save with this pickle."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, data)
        archive.writestr("archive/version", "3\n")
    return file
