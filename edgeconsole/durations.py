"""Times as people type them: `90s`, `30m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.errors import ConfigError

_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")


def parse_duration(text: str) -> float:
    """Return the seconds of `30m`, `1h30m` or `90s`; raises `ConfigError`."""
    compact = text.strip().casefold().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise ConfigError(f"{text!r} is not a time", hint="like 90s, 30m, 1h30m or 2d")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", compact)
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in parts)


def duration_text(seconds: float) -> str:
    """Return a time as `parse_duration` reads it, in whole seconds: `1h30m`."""
    left = max(0, round(seconds))
    text = ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"
