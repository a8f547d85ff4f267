from pathlib import Path

import pytest

from tests.golden_files import GOLDEN, assert_equals_published


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_our_port_gives_the_published_numbers(path: Path) -> None:
    assert_equals_published(path)


def test_there_are_files() -> None:
    assert GOLDEN
