"""How long a batch takes, by its rows: learnt at load, corrected by every batch that ran. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_WEIGHT: Final = 0.1
"""Weight of a new observation: about the last twenty count."""
_ENOUGH: Final = 0.95
"""A batch that reaches this share of the best rows a second is large enough."""
_ENOUGH_FOR: Final = 20
"""The size that is large enough is looked for again after so many batches."""


class _Point:
    """Batches of about the same size: mean rows, mean time, mean deviation, all moving."""

    __slots__ = ("deviation_ms", "least_ms", "mean_ms", "rows")

    def __init__(self, rows: int, ms: float) -> None:
        self.rows = float(rows)
        self.mean_ms = ms
        self.least_ms = ms
        self.deviation_ms = ms / 8

    def observe(self, rows: int, ms: float) -> None:
        self.rows += _WEIGHT * (rows - self.rows)
        error = ms - self.mean_ms
        # One stalled batch must not make the device look slow for the next twenty.
        step = min(error, 4 * self.deviation_ms + 0.1)
        self.mean_ms += _WEIGHT * step
        self.deviation_ms += _WEIGHT * (
            min(abs(error), 8 * self.deviation_ms + 0.1) - self.deviation_ms
        )
        self.least_ms = min(ms, self.least_ms + 0.01 * (self.mean_ms - self.least_ms))


class BatchCurve:
    """The latency of one model's batches, between points by interpolation."""

    def __init__(self, measured: Iterable[tuple[int, float]] = ()) -> None:
        self._points: dict[int, _Point] = {}
        self._known: list[_Point] = []
        self._means_ms: dict[int, float] = {}
        """What was asked for since the last batch."""
        self._enough: dict[int, int] = {}
        self._enough_left = 0
        for rows, ms in measured:
            self.observe(rows, ms)

    def observe(self, rows: int, ms: float) -> None:
        """Take in a batch that ran: its rows, and its time in ms from hand-over to result."""
        self._means_ms.clear()
        self._enough_left -= 1
        key = (rows - 1).bit_length()
        point = self._points.get(key)
        if point is None:
            self._points[key] = _Point(rows, ms)
            self._known = sorted(self._points.values(), key=lambda each: each.rows)
            self._enough_left = 0
        else:
            point.observe(rows, ms)
        if self._enough_left <= 0:
            self._enough.clear()
            self._enough_left = _ENOUGH_FOR

    def mean_ms(self, rows: int) -> float:
        """Return the expected time of a batch; 0 while nothing is known."""
        mean_ms = self._means_ms.get(rows)
        if mean_ms is None:
            mean_ms = self._means_ms[rows] = self._mean_ms(rows)
        return mean_ms

    def _mean_ms(self, rows: int) -> float:
        known = self._known
        if not known:
            return 0.0
        first = known[0]
        if rows <= first.rows:
            return first.mean_ms
        for left, right in pairwise(known):
            if rows <= right.rows:
                share = (rows - left.rows) / max(right.rows - left.rows, 1e-9)
                return left.mean_ms + share * (right.mean_ms - left.mean_ms)
        last = known[-1]
        return last.mean_ms * rows / last.rows

    def bound_ms(self, rows: int) -> float:
        """Return a time that nearly all batches of this size stay below."""
        mean_ms = self.mean_ms(rows)
        point = self._points.get((rows - 1).bit_length())
        return mean_ms + 2 * (point.deviation_ms if point else mean_ms / 8)

    def least_ms(self, rows: int) -> float:
        """Return about the shortest time such a batch has taken lately."""
        point = self._points.get((rows - 1).bit_length())
        return point.least_ms if point else 0.0

    def enough_rows(self, most: int) -> int:
        """Return the smallest batch that gets nearly the best rows a second, as of lately."""
        enough = self._enough.get(most)
        if enough is None:
            sizes = [1]
            while sizes[-1] * 2 <= most:
                sizes.append(sizes[-1] * 2)
            rates = [size / max(self.mean_ms(size), 1e-6) for size in sizes]
            least = _ENOUGH * max(rates)
            enough = next(size for size, rate in zip(sizes, rates, strict=True) if rate >= least)
            self._enough[most] = enough
        return enough
