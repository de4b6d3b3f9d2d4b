"""What changed when another bundle began to answer: figures before and after. Pure; no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol

from edgeconsole.protocol.telemetry import DeviceEvent

WINDOW_S: Final = 60.0
"""Figures are medians over so long before the switch, and over the latest so long after it."""
SETTLED_S: Final = 2.0
"""What a device says so soon after the switch may still be about what answered before."""
SHOWN_S: Final = 3600.0
"""For so long a switch is news."""


class PointLike(Protocol):
    """What a device said at one moment."""

    @property
    def at(self) -> float:
        """Return when, on the console's monotonic clock."""
        ...

    @property
    def key(self) -> str:
        """Return which bundle its latencies are of, `model/version/variant`; empty: not known."""
        ...

    @property
    def p50_ms(self) -> float | None:
        """Return the median latency."""
        ...

    @property
    def p99_ms(self) -> float | None:
        """Return the 99th percentile."""
        ...

    @property
    def temp_c(self) -> float | None:
        """Return the temperature."""
        ...

    @property
    def rss_bytes(self) -> float | None:
        """Return the memory of that bundle's workers."""
        ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of what a device said over a while; `None` is unknown."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    temp_c: float | None = None
    rss_bytes: float | None = None
    seconds: float = 0.0
    """From the first moment to the last."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The latest time another bundle began to answer on a device."""

    at: float
    """On the console's monotonic clock."""
    model: str
    before_key: str
    """Empty: not known."""
    after_key: str
    before: Figures


def latest(events: Iterable[DeviceEvent]) -> DeviceEvent | None:
    """Return the latest event, of those in their order, that tells of a switch."""
    return next((each for each in reversed(tuple(events)) if each.activated), None)


def seen_before(points: Sequence[PointLike], at: float, model: str) -> str:
    """Return which bundle answered to a model's name in the minute before `at`; empty: not known.

    For who was not there, and has only what was written down. Of several models a moment names one.
    """
    keys = [each.key for each in points if at - WINDOW_S < each.at <= at]
    return next((key for key in reversed(keys) if key.startswith(f"{model}/")), "")


def before(points: Sequence[PointLike], at: float, key: str) -> Figures:
    """Return the figures of the minute before a switch, while `key` answered; empty: not known."""
    return _figures(points, at - WINDOW_S, at, key)


def after(points: Sequence[PointLike], switch: Switch, now: float) -> Figures:
    """Return the figures of the latest minute since a switch."""
    since = max(switch.at + SETTLED_S, now - WINDOW_S)
    return _figures(points, since, now, switch.after_key)


def _figures(points: Sequence[PointLike], since: float, until: float, key: str) -> Figures:
    """Return the medians after `since` and up to `until`; the heat is the whole device's."""
    inside = [each for each in points if since < each.at <= until]
    own = [each for each in inside if key and each.key == key]
    return Figures(
        p50_ms=_median(own, lambda each: each.p50_ms),
        p99_ms=_median(own, lambda each: each.p99_ms),
        temp_c=_median(inside, lambda each: each.temp_c),
        rss_bytes=_median(own, lambda each: each.rss_bytes),
        seconds=inside[-1].at - inside[0].at if inside else 0.0,
    )


def _median(points: Sequence[PointLike], read: Callable[[PointLike], float | None]) -> float | None:
    known = [value for each in points if (value := read(each)) is not None]
    return median(known) if known else None
