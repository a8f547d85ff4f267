"""Reads a pickle without importing or calling anything that it names.

A pickle is a program: it may name any function of any installed module and have it called with any arguments. Here every name
becomes a class that only stores the arguments it would have been called with, so the structure can be read and nothing happens.
"""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

NUMBERS = ("f2", "f4", "f8", "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
NUMBER_FORMATS = dict(zip(NUMBERS, "efd?bhiqBHIQ", strict=True))
"""of the struct module, by numpy's name of the type"""
LARGEST = 1 << 28
"""bytes; a pickle of a checkpoint, whose tensors are elsewhere, has about a megabyte"""


class Inert:
    """Stands for what a name in the pickle would have made: ``name`` called with ``arguments``."""

    name: ClassVar[str]
    arguments: tuple[Any, ...]
    items: dict[Any, Any]

    def __new__(cls, *arguments: Any, **_keywords: Any) -> "Inert":
        made = super().__new__(cls)
        made.arguments, made.items = arguments, {}
        return made

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        """Nothing: what ``__new__`` keeps is all."""

    # What a pickle does with what it has made. A state is dropped: no tensor and no dictionary keeps anything there.
    def __setstate__(self, state: Any) -> None:
        """Nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, item: Any) -> None:
        self.items[len(self.items)] = item

    def extend(self, items: Any) -> None:
        for item in items:
            self.append(item)

    def add(self, item: Any) -> None:
        self.append(item)


class InertUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, whose memo is a dictionary: the one in C allocates what a pickle asks for."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._classes: dict[str, type[Inert]] = {}

    @property
    def names(self) -> list[str]:
        """What would be imported, as ``module.name``."""
        return sorted(self._classes)

    def find_class(self, module: str, name: str) -> type[Inert]:
        full = f"{module}.{name}"
        if full not in self._classes:
            self._classes[full] = type("Inert", (Inert,), {"name": full})
        return self._classes[full]

    def get_extension(self, code: int) -> None:
        # A name behind a number, known only to the program that registered it.
        raise pickle.UnpicklingError(f"it asks for extension {code} of copyreg")

    def load_bytearray8(self) -> None:
        # Python's own makes an array of the length that the pickle names, however little follows.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def persistent_load(self, identifier: Any) -> Any:
        return identifier


def read(data: bytes) -> tuple[Any, list[str]]:
    """The structure, and the names that would be imported if it were unpickled.

    Raises:
        UnpicklingError: if the pickle can't be read to its end.
    """
    unpickler = InertUnpickler(io.BytesIO(data))
    try:
        return unpickler.load(), unpickler.names
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # what a pickle that is damaged, or made to confuse, raises can be anything
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


class Plain:
    """Turns what was read into Python's own numbers, lists and dictionaries; what can't be turned is None.

    A structure that refers to itself, or to the same part over and over, has no end: it is given up after ``LIMIT`` parts.
    One that is nested deeper than ``DEPTH`` is given up, too: Python can't print it.
    """

    LIMIT = 2_000_000
    DEPTH = 100

    def __init__(self) -> None:
        self._parts = 0
        self.hidden: set[str] = set()
        """names of calls that may make text, which nobody can read without calling them"""

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._parts += 1
        if self._parts > self.LIMIT:
            raise pickle.UnpicklingError(f"it refers to itself, or has more than {self.LIMIT:,} parts")
        if depth > self.DEPTH:
            raise pickle.UnpicklingError("it is nested too deeply")
        if isinstance(value, int):
            return value if value.bit_length() <= 64 else None  # Python doesn't print numbers of thousands of digits
        if isinstance(value, (str, float, type(None))):
            return value
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self(item, depth + 1) for item in value]
        entries = entries_of(value)
        if entries is not None:
            pairs = [
                (self(key) if isinstance(key, (Inert, int)) else key, self(item, depth + 1)) for key, item in entries.items()
            ]
            return {key: item for key, item in pairs if isinstance(key, (str, int))}
        if isinstance(value, Inert) and value.name.endswith(".multiarray.scalar"):
            number = _scalar(*value.arguments)
            if number is None:
                self.hidden.add(value.name)
            return number
        if isinstance(value, Inert) and value.name == "_codecs.encode" and not _is_bytes(value):
            self.hidden.add(value.name)
        return None


def entries_of(value: Any) -> dict[Any, Any] | None:
    """Those of a dictionary, or of an OrderedDict, which is made from pairs or filled afterwards; None of anything else."""
    if isinstance(value, Inert) and value.name == "collections.OrderedDict":
        return {**dict(*value.arguments), **value.items}
    return value if isinstance(value, dict) else None


def _is_bytes(value: Inert) -> bool:
    """Whether it is how bytes are written in protocol 2. Other encodings, such as rot13, make text."""
    return value.name == "_codecs.encode" and value.arguments[1:] == ("latin1",)


def _scalar(kind: Any, data: Any) -> float | None:
    """A number of numpy's, from its type and its bytes."""
    if isinstance(data, Inert) and _is_bytes(data):
        data = data.arguments[0].encode("latin1")
    code = kind.arguments[0] if isinstance(kind, Inert) and kind.arguments else None
    if code not in NUMBER_FORMATS or not isinstance(data, bytes):
        return None
    number: float
    (number,) = struct.unpack(f"<{NUMBER_FORMATS[code]}", data)
    return number
