"""How values become text: units, ages, counts, and data made safe to print. No Textual.

Every function returns text of a known, small width. What is unknown becomes a dash, never a zero.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, set_cell_size

from edgeconsole.fleet.levels import Freshness
from edgeconsole.protocol.telemetry import Quality, Reading

UNKNOWN: Final = "—"
_DROPPED: Final = {"\u200c", "\u200d", "\ufeff"}
"""Joiners: without them a sequence prints as its parts, with the width terminals agree on."""
_LONGEST: Final = 400
"""A device may send any amount of text; no line shows more than this of it."""


@lru_cache(maxsize=8192)
def escape(text: str) -> str:
    """Make any text safe to print on one line: control characters become visible escapes."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape_char(char) for char in text)


def _escape_char(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    if char in _DROPPED or "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return ""
    if category[0] == "C" or category in ("Zl", "Zp"):
        code = ord(char)
        if code < 0x100:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def width_of(text: str) -> int:
    """Return how many terminal cells a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """Cut a text to at most `width` cells, marking the cut with an ellipsis."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    # Cutting a wide character in half leaves a space, so the result is never too wide.
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else "…"


def fit(text: str, width: int, align: str = "<") -> str:
    """Cut or pad a text to exactly `width` cells."""
    text = cut(text, width)
    space = " " * (width - width_of(text))
    return space + text if align == ">" else text + space


def figure(value: float | None) -> str:
    """Return a figure with about three digits: `0.21`, `8.13`, `19.0`, `123`, `12k`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size >= 9_999.5:
        return f"{value / 1000:.0f}k" if size < 999_500 else f"{value / 1e6:.1f}M"
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def limit(value: float) -> str:
    """Return a limit without decimals it does not need: `50`, `2.5`."""
    return f"{value:.3g}" if abs(value) < 1000 else figure(value)


def tenth(value: float | None) -> str:
    """Return a rate or a power with one decimal while that matters."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.1f}" if abs(value) < 999.95 else figure(value)


def percent(share: float | None) -> str:
    """Return a share as whole per cent: `123%`."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    return f"{share:.0%}" if abs(share) < 99.995 else ">9999%"


def whole(value: float | None) -> str:
    """Return a whole number."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.0f}"


def count(number: int) -> str:
    """Return a counter with thousands separated, shortened from a million on."""
    if number < 1_000_000:
        return f"{number:,}"
    return f"{number / 1e6:.1f}M" if number < 1e9 else f"{number / 1e9:.1f}G"


def megabytes(size: int | None) -> str:
    """Return a size in binary units: `412 MiB`, `1.4 GiB`."""
    if size is None:
        return UNKNOWN
    mib = size / 2**20
    if mib >= 1024:
        return f"{mib / 1024:.1f} GiB"
    return f"{mib:.0f} MiB" if mib >= 10 else f"{mib:.1f} MiB"


def duration(seconds: float) -> str:
    """Return a duration with its two largest units: `3d4h`, `5h12m`, `4m10s`, `12s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append(f"{amount}{unit}")
    return "".join(parts[:2]) or "0s"


def age(seconds: float) -> str:
    """Return an age in its largest unit: `12s`, `3m`, `2h`, `4d`."""
    left = max(0.0, seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if left >= size:
            return f"{left / size:.0f}{unit}" if left >= 2 * size else f"1{unit}"
    return f"{left:.0f}s"


def clock(seconds: float) -> str:
    """Return a running time as `mm:ss`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes:02d}:{rest:02d}"


def time_of_day(unix_s: float, wall: datetime) -> str:
    """Return a time of day in the zone of `wall`; with the date if it is not near."""
    try:
        moment = datetime.fromtimestamp(unix_s, tz=wall.tzinfo)
    except (OverflowError, OSError, ValueError):
        return "--:--:--"
    if moment.date() == wall.date() or abs(wall - moment) < timedelta(hours=12):
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%d %b %H:%M")


def seen(freshness: Freshness, age_s: float | None) -> str:
    """Return how long ago a device was heard: `live`, `12s`, `gone 3m`, `never`."""
    if freshness is Freshness.NEVER or age_s is None:
        return "never"
    if freshness is Freshness.LIVE:
        return "live"
    return f"gone {age(age_s)}" if freshness is Freshness.GONE else age(age_s)


def reading(value: Reading, digits: int = 0) -> str:
    """Return a reading, marked `~` where it is estimated and `sim` where it is simulated."""
    if value.value is None or not math.isfinite(value.value):
        return UNKNOWN
    text = f"{value.value:.{digits}f}"
    if value.quality is Quality.ESTIMATED:
        return f"~{text}"
    return f"{text} sim" if value.quality is Quality.SIMULATED else text
