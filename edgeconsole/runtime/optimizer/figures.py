"""Figures of variants as people read them: drops, times, sizes, speed-ups. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from edgeconsole.protocol.optimization import Interval, Objective

_MOST_DIGITS: Final = 9


class DropUnit(StrEnum):
    """What a drop is counted in."""

    POINTS = "points"
    """Hundredths, for metrics between 0 and 1."""
    PERCENT = "%"
    """Of the original's value, for metrics without an upper bound."""


def known(value: float | None) -> float | None:
    """Return a figure, or `None` if it is none: NaN is as unknown as `None`."""
    return None if value is None or math.isnan(value) else value


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, and all of those before the point."""
    if not value or not math.isfinite(value):
        return _sign(f"{value:.0f}")
    behind = min(max(0, digits - 1 - math.floor(math.log10(abs(value)))), _MOST_DIGITS)
    text = f"{value:.{behind}f}"
    return _sign(text.rstrip("0").rstrip(".") if behind else text)


def drop_number(value: float, digits: int = 1) -> str:
    """Return a drop without its unit, with so many digits behind the point."""
    return _sign(f"{value:.{digits}f}")


def size(value: float, digits: int = 3) -> str:
    """Return bytes in binary units: `412 MiB`, `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{number(value, digits)} {unit}"
        value /= 1024
    return f"{number(value, digits)} GiB"


def speed(value: float) -> str:
    """Return a speed-up: `5.2 ×`."""
    return f"{_speed(value)} ×"


def speed_span(interval: Interval | None) -> str:
    """Return a speed-up's interval in brackets, to be set behind it; empty if unknown."""
    return f" ({_speed(interval[0])} to {_speed(interval[1])})" if interval else ""


def drop_span(interval: Interval | None) -> str:
    """Return a drop's interval in brackets, to be set behind it; empty if unknown."""
    return f" ({drop_number(interval[0])} to {drop_number(interval[1])})" if interval else ""


def figure(objective: Objective, value: float, digits: int = 3) -> str:
    """Return what an objective makes small, with its unit."""
    match objective:
        case Objective.P50 | Objective.P99:
            return f"{number(value, digits)} ms"
        case Objective.SIZE | Objective.MEMORY:
            return size(value, digits)
        case Objective.ENERGY:
            return f"{number(value, digits)} mJ"


def apart(
    write: Callable[[float, int], str], one: float, other: float, digits: int
) -> tuple[str, str]:
    """Write two unequal figures with as many digits as it takes to tell them apart."""
    for enough in range(digits, _MOST_DIGITS):
        texts = write(one, enough), write(other, enough)
        if texts[0] != texts[1]:
            return texts
    return write(one, _MOST_DIGITS), write(other, _MOST_DIGITS)


def round_up(value: float, digits: int) -> float:
    """Return the least number with so many digits behind the point that is not smaller."""
    rounded = round(value, digits)
    return rounded if rounded >= value else round(rounded + 10.0**-digits, digits)


def round_up_short(value: float) -> float:
    """Return a number that is not smaller, of about three significant digits."""
    return round_up(value, max(0, 2 - math.floor(math.log10(value)))) if value > 0 else value


def _speed(value: float) -> str:
    # Near 1 the second digit says whether anything is gained.
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _sign(text: str) -> str:
    if not text.startswith("-"):
        return text
    return "−" + text[1:] if text.strip("-0.") else text[1:]
