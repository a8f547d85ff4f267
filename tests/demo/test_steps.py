"""The progress bars."""

from io import StringIO

import pytest
from rich.console import Console

from nnunetv2_ext.demo.steps import Steps


def run(console: Console, parts: int | None) -> None:
    with Steps(console, 2) as steps:
        with steps.step("first", parts) as done:
            done()
        with steps.step("second", None):
            pass


@pytest.mark.parametrize("parts", [1, 4, None])
def test_a_bar_for_each_step_on_a_terminal(parts) -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True)
    run(console, parts)
    lines = console.file.getvalue().splitlines()
    assert any("1/2 first" in line for line in lines)
    assert any("2/2 second" in line for line in lines)


def test_a_line_for_each_step_elsewhere_as_it_begins() -> None:
    console = Console(file=StringIO(), width=80)
    with Steps(console, 2) as steps, steps.step("first", 3):
        assert console.file.getvalue() == "1/2 first\n"


def test_what_was_not_counted_is_done_at_the_end() -> None:
    with Steps(Console(file=StringIO()), 1) as steps:
        with steps.step("first", 5) as done:
            done()
            assert not steps.finished
        assert steps.finished
