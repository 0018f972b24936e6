"""Geometry of line charts: from figures to points and ticks of an SVG."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 400, 256  # of the whole picture, in user units
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 36  # around the plot

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Maps values to positions between two ends of the plot."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def position(self, value: float) -> float:
        """Returns where a value lies, in user units; what is off the axis, at its end."""
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        share = min(max((value - low) / (high - low), 0), 1)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns round values, as positions and labels."""
        values = self._decades() if self.log else []
        if len(values) < 2:
            values = self._even()
        return [(self.position(value), f"{value:,.6g}") for value in values]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value

    def _decades(self) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [10.0**exponent for exponent in exponents]
        if len(exponents) < 5:
            values = [factor * value for value in values for factor in (1, 3)]
        return [value for value in values if self.low <= value <= self.high]

    def _even(self) -> list[float]:
        step = round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """Returns the least of 1, 2 and 5 times powers of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


@dataclass(frozen=True)
class Line:
    """A named line."""

    name: str
    points: str  # as SVG's polyline has them
    last: float  # its last value


@dataclass(frozen=True)
class LineChart:
    """Lines over two axes."""

    x: Axis
    y: Axis
    lines: list[Line]
    width: int = WIDTH
    height: int = HEIGHT


def line_chart(series: dict[str, Points], log: bool = False) -> LineChart | None:
    """Lays out lines over common axes.

    Args:
        series: Points (x, y) by the name of the line.
        log: Whether y is logarithmic.

    Returns:
        The chart, or None where there is no line over more than one x.
    """
    series = {name: points for name, points in series.items() if len({x for x, _ in points}) > 1}
    if not series:
        return None
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    low, high = min(ys), max(ys)
    if log:
        low, high = max(low, 1e-6), max(high, 1e-5) * 1.1
    else:
        margin = 0.05 * (high - low) + 1e-6 * max(1.0, abs(low), abs(high))
        low, high = low - margin, high + margin
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    lines = [Line(name, _polyline(x, y, points), points[-1][1]) for name, points in series.items()]
    return LineChart(x, y, lines)


def square_chart() -> LineChart:
    """Lays out axes from 0 to 1 with the diagonal between them."""
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, HEIGHT - BOTTOM, TOP)
    return LineChart(x, y, [Line("calibrated", _polyline(x, y, [(0, 0), (1, 1)]), 1)])


def moving_mean(points: Points, window: int) -> Points:
    """Returns the points with y as the mean over the last ``window`` of them."""
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + y)
    means = []
    for index, (x, _) in enumerate(points, start=1):
        first = max(index - window, 0)
        means.append((x, (sums[index] - sums[first]) / (index - first)))
    return means


def thin(points: Points, most: int) -> Points:
    """Returns at most about ``most`` of the points, evenly chosen, the last among them."""
    if len(points) <= most:
        return points
    edges = [len(points) * i // most for i in range(most + 1)]
    return [points[end - 1] for _, end in pairwise(edges)]


def _polyline(x: Axis, y: Axis, points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x.position(a):g},{y.position(b):g}" for a, b in points)
