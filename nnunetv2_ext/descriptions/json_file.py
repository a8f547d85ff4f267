"""Reading a JSON file that a user may have edited."""

import json
from pathlib import Path
from typing import TypeVar

from nnunetv2_ext.errors import DatasetError

Kind = TypeVar("Kind", dict, list)


def read_json_file(file: Path, kind: type[Kind], cure: str) -> Kind:
    """What a JSON file holds, a dictionary or a list.

    Raises:
        DatasetError: if the file isn't there, can't be read, or holds something else; the message ends with the cure.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{file} doesn't exist. {cure}") from error
    except OSError as error:
        raise DatasetError(f"{file} can't be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is no valid JSON, it may be cut off ({error}). {cure}") from error
    if not isinstance(content, kind):
        names = {dict: "an object", list: "a list"}
        raise DatasetError(f"{file} should hold {names[kind]} and holds {type(content).__name__}. {cure}")
    return content
