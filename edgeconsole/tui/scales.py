"""Vertical axes: 1-2-5 ticks, and how high a chart has to be. Pure; no Textual."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: `(time, value)`, oldest first; `None` is a hole."""

    role: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A horizontal line at a value; what is above it takes its role."""

    level: float
    role: str
    hard: bool = True
    """Hard limits are dashed, softer ones dotted."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis: from `low` to `high` in whole `step`s."""

    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        """Return the marks of the axis, lowest first."""
        steps = round((self.high - self.low) / self.step)
        return [self.low + self.step * index for index in range(steps + 1)]


def nice_step(span: float, intervals: int) -> float:
    """Return the smallest 1-2-5 step that covers `span` in at most `intervals`."""
    rough = max(span, 1e-9) / max(1, intervals)
    power: float = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        if factor * power >= rough * (1 - 1e-9):
            return factor * power
    return 10 * power


def nice_scale(low: float, high: float, intervals: int) -> Scale:
    """Return an axis that holds `low` to `high` with 1-2-5 ticks."""
    intervals = max(1, intervals)
    step = nice_step(high - low, intervals)
    while True:
        bottom = math.floor(low / step + 1e-9) * step
        top = max(math.ceil(high / step - 1e-9) * step, bottom + step)
        if round((top - bottom) / step) <= intervals:
            return Scale(bottom, top, step)
        step = nice_step(step * 1.01, 1)


def scale_for(
    series: Iterable[Series],
    limits: Iterable[Limit],
    intervals: int,
    *,
    low: float | None = 0.0,
    span: float = 1.0,
    reach: float = 1.5,
    most: float = math.inf,
) -> Scale:
    """Choose an axis for some curves.

    Args:
        series: The curves.
        limits: Shown if they are at most `reach` spans above the data.
        intervals: How many steps there is room for.
        low: Where the axis starts; `None`: near the smallest value.
        span: The least height of the axis, so that noise does not look like an emergency.
        most: What no value exceeds, such as 100 %.
        reach: How far above the data, in data heights, a limit may be and still be on the chart.
    """
    known = [
        value
        for curve in series
        for _, value in curve.points
        if value is not None and math.isfinite(value)
    ]
    highest = max(known, default=0.0 if low is not None else span)
    least = low if low is not None else min(known, default=0.0)
    if low is None:
        least = max(0.0, least - span * 0.1)
    top = min(max(highest + (highest - least) * 0.05, least + span), most)
    height = top - least
    for limit in limits:
        if limit.level <= top + reach * height:
            top = max(top, limit.level + height * 0.02)
    return nice_scale(least, top, intervals)


def tick_label(tick: float, step: float) -> str:
    """Return a tick's text with as many decimals as the step has."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{tick:.{decimals}f}"
