import xml.etree.ElementTree as ElementTree

import pytest

from nnunetv2_ext.comparison.charts import Interval, Line, Pair, curves, differences, intervals, pairs

NAN = float("nan")


def _elements(svg, name: str) -> list:
    root = ElementTree.fromstring(str(svg))
    width, height = (float(number) for number in root.get("viewBox").split()[2:])
    for element in root.iter():
        for key, limit in (
            ("x", width),
            ("cx", width),
            ("x1", width),
            ("x2", width),
            ("y", height),
            ("cy", height),
            ("y1", height),
        ):
            if element.get(key):
                assert 0 <= float(element.get(key)) <= limit
    return [element for element in root.iter() if element.tag == name]


def _ticks(svg) -> list[str]:
    return [element.text for element in _elements(svg, "text") if element.get("class") == "tick"]


def test_curves_have_a_line_for_each_run_and_leave_gaps_out() -> None:
    svg = curves([Line(0, "A <b>", [(0, 0.1), (1, NAN), (2, 0.5)]), Line(1, "B", [(0, 0.2)]), Line(2, "C", [])], "Dice")
    lines = _elements(svg, "polyline")
    assert [len(line.get("points").split()) for line in lines] == [2, 1]
    assert lines[0].find("title").text == "A <b>"
    assert len(_elements(svg, "circle")) == 1  # a line of one point would be invisible
    assert curves([Line(0, "A", [(0, NAN)])], "Dice") == ""


def test_a_better_case_lies_above_the_diagonal() -> None:
    svg = pairs([Pair("a", 0.5, 0.9, True, False), Pair("b", 0.9, 0.5, False, True)], "A", "B", "Dice")
    better, worse = _elements(svg, "circle")
    assert better.get("class") == "dot better"
    assert float(better.get("cy")) < float(worse.get("cy"))
    assert float(better.get("cx")) < float(worse.get("cx"))
    assert better.find("title").text == "a: 0.500 and 0.900"


def test_differences_are_sorted_bars() -> None:
    cases = [Pair(str(gain), 0.5, 0.5 + gain, gain > 0, gain < 0) for gain in (0.2, -0.1, 0.0, 0.1)]
    bars = _elements(differences(cases, "Dice"), "rect")
    assert [bar.get("class") for bar in bars] == ["bar worse", "bar same", "bar better", "bar better"]
    assert float(bars[3].get("height")) == pytest.approx(2 * float(bars[0].get("height")), abs=0.2)


def test_intervals_say_better_or_worse_only_beside_zero() -> None:
    rows = [
        Interval("A", "foreground", 0.2, 0.1, 0.3, True),
        Interval("A", "organ", 0.2, -0.1, 0.3, True),
        Interval("B", "foreground", 0.2, 0.1, 0.3, False),
        Interval("B", "organ", 0.1, NAN, NAN, True),
    ]
    svg = intervals(rows, "Dice")
    assert [line.get("class") for line in _elements(svg, "line") if "whisker" in line.get("class")] == [
        "whisker better",
        "whisker same",
        "whisker worse",
    ]
    names = [element.text for element in _elements(svg, "text") if element.get("class") == "name"]
    assert names == ["A", "B"]
    assert intervals([], "Dice") == ""


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.0, 0.0), (0.931, 0.962), (1e-4, 3e-4), (-250.0, 4000.0)])
def test_ticks_tell_each_other_apart(values) -> None:
    ticks = _ticks(pairs([Pair("a", *values, False, False)], "A", "B", "Dice"))
    half = len(ticks) // 2
    assert half >= 2
    assert len(set(ticks[:half])) == half
