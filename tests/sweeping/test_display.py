import io
import re

import pytest
from rich.console import Console

from nnunetv2_ext.runs import Run
from nnunetv2_ext.sweeping.display import Display
from nnunetv2_ext.sweeping.queue import Progress
from nnunetv2_ext.sweeping.training import Training
from tests.comparison.results import write_log


@pytest.fixture
def trainings(tmp_path) -> list[Training]:
    runs = [Run(tmp_path, "Dataset001_A", "T", "P", "2d", str(fold)) for fold in range(4)]
    runs[2].folder.mkdir(parents=True)
    write_log(runs[2].folder, 3)
    return [Training(run, "cpu", False, tmp_path / "logs") for run in runs]


def _show(console: Console, trainings: list[Training]) -> None:
    done, failed, running, waiting = trainings
    with Display(console, finished_before=2) as display:
        for _ in range(2):
            display(Progress([waiting], {running: None}, [done], {failed: "out of memory"}))


def test_a_terminal_shows_what_runs_and_how_far_it_is(trainings) -> None:
    stream = io.StringIO()
    _show(Console(file=stream, force_terminal=True, width=120, color_system=None), trainings)
    text = stream.getvalue()
    assert "3 of 6 finished, 1 failed" in text
    row = re.search(r"T__P__2d__fold_2 +(\S+) +(\S+) +(\S+) (\S+)", text)
    assert row.groups() == ("2", "11.0", "0.100", "nan")  # the epoch that runs, and what the one before it came to


def test_a_file_gets_one_line_for_whatever_happens(trainings) -> None:
    stream = io.StringIO()
    _show(Console(file=stream, width=40), trainings)
    lines = stream.getvalue().split("\n")
    assert lines[0] == f"started T__P__2d__fold_2  log in {trainings[2].log_file}"
    assert lines[1].split() == ["done", "T__P__2d__fold_0"]
    assert lines[2].split() == ["failed", "T__P__2d__fold_1", "out", "of", "memory"]
    assert [line for line in lines[3:] if line] == []
