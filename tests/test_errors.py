import subprocess
import sys

import pytest

from nnunetv2_ext import errors

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.ExtensionError)]


@pytest.mark.parametrize("error", ALL)
def test_is_an_ordinary_exception_in_code(error):
    with pytest.raises(Exception, match="what to do") as caught:
        raise error("what to do")
    assert isinstance(caught.value, errors.ExtensionError)


@pytest.mark.parametrize("error", ALL)
def test_is_one_sentence_and_status_one_where_nobody_catches_it(error):
    code = f"from nnunetv2_ext.errors import {error.__name__}; raise {error.__name__}('what to do')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (1, "what to do")


def test_the_tree_in_the_docstring_has_all_of_them():
    assert all(error.__name__ in errors.__doc__ for error in ALL)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a Ω b", "a Ω b"), ("a\nb\r", "a\\nb\\r"), ("\x1b[8m", "\\x1b[8m"), ("\u202e\ud800", "\\u202e\\ud800")],
)
def test_what_moves_the_cursor_or_hides_text_is_shown_as_its_code(text, shown):
    assert errors.printable(text) == shown
    assert str(errors.UnsafeFileError(text)) == shown
