"""Charts as SVG that takes its colours from the page, so that they are readable in light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Line:
    """One run's curve."""

    colour: int
    """number of the model"""
    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Pair:
    """A case under two models."""

    name: str
    reference: float
    other: float
    better: bool
    worse: bool

    @property
    def kind(self) -> str:
        """How the other model is to the reference."""
        return "better" if self.better else "worse" if self.worse else "same"


@dataclass(frozen=True)
class Interval:
    """A difference with its interval."""

    name: str
    of: str
    """class, or the foreground"""
    mean: float
    low: float
    high: float
    higher_is_better: bool

    @property
    def kind(self) -> str:
        """What the interval says: better, worse, or neither where it covers zero."""
        if not (self.low > 0 or self.high < 0):
            return "same"
        return "better" if (self.low > 0) == self.higher_is_better else "worse"


class _Axis:
    """From values to pixels, with round numbers as ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        if low == high:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        margin = 0.04 * (high - low)
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        self.ticks = [float(tick) for tick in ticks if self._low <= tick <= self._high]
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        self._decimals = max(0, math.ceil(-math.log10(step) - 1e-9)) + (0 if _is_round(step) else 1)

    def __call__(self, value: float) -> str:
        return f"{self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start):.1f}"

    def text(self, value: float) -> str:
        return f"{value:.{self._decimals}f}"


def _is_round(step: float) -> bool:
    scaled = step / 10 ** math.floor(math.log10(step))
    return abs(scaled - round(scaled)) < 1e-6


def _svg(width: float, height: float, label: str, body: Sequence[str]) -> Markup:
    content = "".join(body)
    return Markup(f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{content}</svg>')


def _text(x: float | str, y: float | str, text: str, *, anchor: str = "middle", kind: str = "", extra: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}" {extra}>{escape(text)}</text>'


def _frame(x: _Axis, y: _Axis, box: tuple[float, float, float, float], labels: tuple[str, str]) -> list[str]:
    """Grid, ticks and labels; the box is left, top, right, bottom."""
    left, top, right, bottom = box
    parts = []
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(_text(left - 6, y(tick), y.text(tick), anchor="end", kind="tick", extra='dy="0.35em"'))
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 16, x.text(tick), kind="tick"))
    middle = (top + bottom) / 2
    parts.append(_text((left + right) / 2, bottom + 34, labels[0], kind="label"))
    parts.append(_text(12, middle, labels[1], kind="label", extra=f'transform="rotate(-90 12 {middle})"'))
    return parts


def curves(lines: Sequence[Line], label: str) -> Markup:
    """Learning curves over the epochs; lines of one model share a colour. Empty where nothing is known."""
    lines = [Line(line.colour, line.name, [p for p in line.points if math.isfinite(p[1])]) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    width, height, box = 540, 320, (72, 10, 530, 276)
    x = _Axis([point[0] for line in lines for point in line.points], box[0], box[2])
    y = _Axis([point[1] for line in lines for point in line.points], box[3], box[1])
    parts = _frame(x, y, box, ("epoch", label))
    for line in lines:
        tooltip, path = f"<title>{escape(line.name)}</title>", " ".join(f"{x(a)},{y(b)}" for a, b in line.points)
        parts.append(f'<polyline class="curve s{line.colour}" points="{path}">{tooltip}</polyline>')
        if len(line.points) == 1:
            parts.append(f'<circle class="end s{line.colour}" cx="{x(line.points[0][0])}" cy="{y(line.points[0][1])}" r="3"/>')
    return _svg(width, height, f"{label} over the epochs", parts)


def pairs(cases: Sequence[Pair], reference: str, other: str, metric: str) -> Markup:
    """Every case as a point, the reference's score to the right and the other one's upwards."""
    if not cases:
        return Markup("")
    width, height, box = 380, 380, (72, 10, 370, 324)
    values = [value for case in cases for value in (case.reference, case.other)]
    x, y = _Axis(values, box[0], box[2]), _Axis(values, box[3], box[1])
    parts = _frame(x, y, box, (f"{metric} of {reference}", f"{metric} of {other}"))
    low, high = min(values), max(values)
    parts.append(f'<line class="zero" x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}"/>')
    for case in cases:
        tooltip = f"{case.name}: {case.reference:.3f} and {case.other:.3f}"
        parts.append(
            f'<circle class="dot {case.kind}" cx="{x(case.reference)}" cy="{y(case.other)}" r="3.5">'
            f"<title>{escape(tooltip)}</title></circle>"
        )
    return _svg(width, height, f"{metric} of {other} against {reference}, by case", parts)


def differences(cases: Sequence[Pair], metric: str) -> Markup:
    """Every case's difference as a bar, sorted."""
    if not cases:
        return Markup("")
    width, height, box = 540, 380, (72, 10, 530, 324)
    ordered = sorted(cases, key=lambda case: case.other - case.reference)
    gains = [case.other - case.reference for case in ordered]
    y = _Axis([0.0, *gains], box[3], box[1])
    step = (box[2] - box[0]) / len(ordered)
    x = _Axis([0.0, float(len(ordered))], box[0], box[2])
    x.ticks = []
    parts = _frame(x, y, box, (f"{len(ordered)} cases, sorted", f"difference in {metric}"))
    zero = float(y(0.0))
    for number, (case, gain) in enumerate(zip(ordered, gains, strict=True)):
        end = float(y(gain))
        tooltip = f"{case.name}: {gain:+.3f}"
        parts.append(
            f'<rect class="bar {case.kind}" x="{box[0] + number * step:.1f}" y="{min(zero, end):.1f}" '
            f'width="{max(0.6, step - min(2.0, 0.2 * step)):.1f}" height="{max(0.6, abs(end - zero)):.1f}">'
            f"<title>{escape(tooltip)}</title></rect>"
        )
    parts.append(f'<line class="zero" x1="{box[0]}" x2="{box[2]}" y1="{zero}" y2="{zero}"/>')
    return _svg(width, height, f"Differences in {metric} by case, sorted", parts)


def intervals(rows: Sequence[Interval], metric: str) -> Markup:
    """Differences with their intervals, one below the other."""
    rows = [row for row in rows if math.isfinite(row.mean)]
    if not rows:
        return Markup("")
    width, left, right, top, line = 940, 330, 905, 8, 26
    bottom = top + line * len(rows)
    ends = [value for row in rows for value in (row.low, row.high, row.mean) if math.isfinite(value)]
    x = _Axis([0.0, *ends], left, right)
    parts = []
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 18, f"{'+' if tick > 0 else ''}{x.text(tick)}", kind="tick"))
    parts.append(f'<line class="zero" x1="{x(0.0)}" x2="{x(0.0)}" y1="{top}" y2="{bottom}"/>')
    parts.append(_text((left + right) / 2, bottom + 38, f"difference in {metric}, with its 95 % interval", kind="label"))
    for number, row in enumerate(rows):
        y = top + line * (number + 0.5)
        first = number == 0 or rows[number - 1].name != row.name
        if first:
            parts.append(_text(0, y, row.name, anchor="start", kind="name", extra='dy="0.35em"'))
        parts.append(_text(left - 10, y, row.of, anchor="end", kind="tick", extra='dy="0.35em"'))
        tooltip = f"<title>{escape(f'{row.name}, {row.of}: {row.mean:+.4f} [{row.low:+.4f}, {row.high:+.4f}]')}</title>"
        if math.isfinite(row.low):
            parts.append(
                f'<line class="whisker {row.kind}" x1="{x(row.low)}" x2="{x(row.high)}" y1="{y}" y2="{y}">{tooltip}</line>'
            )
        parts.append(f'<circle class="dot {row.kind}" cx="{x(row.mean)}" cy="{y}" r="5">{tooltip}</circle>')
    return _svg(width, bottom + 46, f"Differences in {metric} with intervals", parts)
