"""Charts as text: a dot canvas, gaps, limit lines and axes. Pure; no Textual.

A column of dots covers every value that fell into it, so a spike is never averaged away. A hole in
the data is a hole in the line. The time axis moves by whole columns, so that a chart scrolls
instead of shimmering.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.tui import format as fmt
from edgeconsole.tui.chart_marks import Mark, overlay
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line
from edgeconsole.tui.scales import Limit, Scale, Series, tick_label

_BRAILLE_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
GAP_S: Final = 4.0
"""Neighbouring samples of a second further apart than this are not joined by a line."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time a chart shows, in seconds."""

    until: float
    seconds: float
    gap_s: float = GAP_S
    """Neighbours further apart are not joined by a line."""


class _Canvas:
    """A grid of dots in character cells."""

    def __init__(self, width: int, height: int, glyphs: Glyphs) -> None:
        self.width = width
        self.height = height
        self.glyphs = glyphs
        self.columns = width * glyphs.dots_x
        self.rows = height * glyphs.dots_y
        self._bits = [0] * (width * height)
        self._roles = [""] * (width * height)

    def column(self, x: int, first: int, last: int, role: str) -> None:
        """Set the dots of one column from row `first` to `last`, counted from the bottom."""
        dots_x, dots_y = self.glyphs.dots_x, self.glyphs.dots_y
        cell_x, dot_x = divmod(x, dots_x)
        for row in range(first, last + 1):
            cell_y, dot_y = divmod(self.rows - 1 - row, dots_y)
            cell = cell_y * self.width + cell_x
            if self.glyphs.cells:
                self._bits[cell] |= 1 << (dot_x + dot_y * dots_x)
            else:
                self._bits[cell] |= _BRAILLE_BITS[dot_x][dot_y]
            self._roles[cell] = role

    def cell(self, x: int, y: int) -> tuple[str, str] | None:
        """Return a cell's character and role, or `None` if it is empty."""
        bits = self._bits[y * self.width + x]
        if not bits:
            return None
        char = self.glyphs.cells[bits] if self.glyphs.cells else chr(0x2800 + bits)
        return char, self._roles[y * self.width + x]


@dataclass(slots=True)
class _Spans:
    """Per dot column: the lowest and highest dot, and the greatest value."""

    lowest: list[int]
    highest: list[int]
    greatest: list[float]


def _spans(
    curve: Series, window: Window, scale: Scale, dots: tuple[int, int], dots_y: int
) -> _Spans:
    """Gather a curve into dot columns, joining neighbours and keeping holes."""
    columns, rows = dots
    step = window.seconds / columns
    origin = math.floor(window.until / step) - columns + 1
    # A value sits in the middle of its cell, where the tick beside it is.
    middle = (dots_y - 1) / 2
    per_unit = (rows - dots_y) / (scale.high - scale.low)
    spans = _Spans([rows] * columns, [-1] * columns, [-math.inf] * columns)

    def touch(x: int, y: float, value: float) -> None:
        if 0 <= x < columns:
            dot = min(rows - 1, max(0, round(y)))
            spans.lowest[x] = min(spans.lowest[x], dot)
            spans.highest[x] = max(spans.highest[x], dot)
            spans.greatest[x] = max(spans.greatest[x], value)

    before: tuple[float, int, float, float] | None = None
    for at, value in curve.points:
        if value is None or not math.isfinite(value):
            before = None
            continue
        x = math.floor(at / step) - origin
        y = middle + (value - scale.low) * per_unit
        if before is not None and at - before[0] <= max(window.gap_s, 2 * step):
            _join(before, (x, y, value), touch)
        touch(x, y, value)
        before = (at, x, y, value)
    return spans


def _join(
    before: tuple[float, int, float, float],
    after: tuple[int, float, float],
    touch: Callable[[int, float, float], None],
) -> None:
    """Touch the columns between two neighbours, and let their spans meet."""
    _, x0, y0, v0 = before
    x1, y1, v1 = after
    for x in range(x0 + 1, x1):
        share = (x - x0) / (x1 - x0)
        touch(x, y0 + (y1 - y0) * share, v0 + (v1 - v0) * share)
    if x1 > x0:
        share = (x1 - x0 - 1) / (x1 - x0)
        touch(x1, y0 + (y1 - y0) * share, -math.inf)


def plot(
    series: Sequence[Series],
    limits: Sequence[Limit],
    scale: Scale,
    window: Window,
    size: tuple[int, int],
    *,
    glyphs: Glyphs,
) -> list[Line]:
    """Draw curves and limit lines into `size` (width, height) cells."""
    width, height = size
    canvas = _Canvas(width, height, glyphs)
    greatest = [-math.inf] * canvas.columns
    for curve in series:
        spans = _spans(curve, window, scale, (canvas.columns, canvas.rows), glyphs.dots_y)
        for x in range(canvas.columns):
            if spans.highest[x] >= 0:
                canvas.column(x, spans.lowest[x], spans.highest[x], curve.role)
                greatest[x] = max(greatest[x], spans.greatest[x])
    rows = {row_of(limit.level, scale, height): limit for limit in limits if _on(limit, scale)}
    return [
        _row(canvas, y, greatest, rows.get(y), [(row, rows[row]) for row in rows if row >= y])
        for y in range(height)
    ]


def _on(limit: Limit, scale: Scale) -> bool:
    return scale.low <= limit.level <= scale.high


def row_of(level: float, scale: Scale, height: int) -> int:
    """Return the line, from the top, that a value falls on."""
    share = (level - scale.low) / (scale.high - scale.low)
    return min(height - 1, max(0, height - 1 - round(share * (height - 1))))


def _row(
    canvas: _Canvas,
    y: int,
    greatest: list[float],
    line: Limit | None,
    passed: list[tuple[int, Limit]],
) -> Line:
    glyphs = canvas.glyphs
    runs: list[tuple[str, str]] = []
    for x in range(canvas.width):
        cell = canvas.cell(x, y)
        if cell is None:
            run = (" ", "text") if line is None else (_stroke(line, x, glyphs), "limit")
        else:
            first = x * glyphs.dots_x
            most = max(greatest[first : first + glyphs.dots_x])
            over = [limit for _, limit in passed if most > limit.level]
            worst = max(over, key=lambda limit: limit.level, default=None)
            run = (cell[0], worst.role if worst else cell[1])
        if runs and runs[-1][1] == run[1]:
            runs[-1] = (runs[-1][0] + run[0], run[1])
        else:
            runs.append(run)
    return tuple(runs)


def _stroke(limit: Limit, x: int, glyphs: Glyphs) -> str:
    if limit.hard:
        return glyphs.dashed
    return glyphs.dotted if x % 2 == 0 else " "


def chart(
    series: Sequence[Series],
    limits: Sequence[Limit],
    scale: Scale,
    window: Window,
    size: tuple[int, int],
    *,
    glyphs: Glyphs,
    marks: Sequence[Mark] = (),
) -> list[Line]:
    """Draw a chart with its axes into `size` (width, height) cells; the last line is the time."""
    inner = inner_size(size, scale)
    body = plot(series, limits, scale, window, inner, glyphs=glyphs)
    if marks:
        body[0] = overlay(body[0], marks, window.until, window.seconds, inner[0])
    return framed(body, size, scale, time_axis(inner[0], window.seconds), glyphs=glyphs)


def inner_size(size: tuple[int, int], scale: Scale) -> tuple[int, int]:
    """Return how much of `size` is left for the curves within the axes.

    Every tick gets a line of its own at equal distances; what is left over stays blank on top.
    """
    width, height = size
    steps = len(scale.ticks()) - 1
    rows = max(1, (height - 2) // steps * steps + 1) if height - 2 >= steps else height - 1
    return max(1, width - _gutter(scale)), rows


def _gutter(scale: Scale) -> int:
    return max(len(tick_label(tick, scale.step)) for tick in scale.ticks()) + 1


def framed(
    body: Sequence[Line], size: tuple[int, int], scale: Scale, below: str, *, glyphs: Glyphs
) -> list[Line]:
    """Put the vertical axis before curves and a horizontal one, `below`, under them."""
    gutter = _gutter(scale)
    labels: dict[int, str] = {}
    for tick in scale.ticks():
        labels.setdefault(row_of(tick, scale, len(body)), tick_label(tick, scale.step))
    lines: list[Line] = [()] * (size[1] - 1 - len(body))
    for y, line in enumerate(body):
        label = labels.get(y)
        edge = glyphs.axis if label is not None else glyphs.divider
        lines.append((((label or "").rjust(gutter - 1), "muted"), (edge, "faint"), *line))
    lines.append(((" " * gutter + below, "faint"),))
    return lines


def time_axis(width: int, seconds: float) -> str:
    """Return the labels under a chart: how long ago, and `now` at the right edge."""
    cells = [" "] * max(0, width)
    if width >= 3:
        cells[-3:] = "now"
    steps = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400, 172800, 604800)
    every = next((step for step in steps if width * step / seconds >= 11), seconds)
    ago = every
    while ago <= seconds:
        label = "-" + (fmt.age(ago) if ago % 60 == 0 or ago < 60 else fmt.duration(ago))
        start = round(width - 1 - (width - 1) * ago / seconds)
        if start + len(label) < width - 3 and start >= 0:
            cells[start : start + len(label)] = label
        ago += every
    return "".join(cells)
