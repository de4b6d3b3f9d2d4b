"""The minutes that are going on, in memory: each becomes a row when it is over. Pure; no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import MINUTE_S, Rollup, fold

WHOLE_MINUTE: Final = 55
"""Samples from which on a minute has nothing beside it: neither another start nor another clock."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A minute that is over."""

    device_id: str
    start_unix_s: int
    rollup: Rollup | None
    """`None`: we did not see all of it, what is in the history must be counted."""


@dataclass(slots=True)
class _Open:
    start_unix_s: int
    boot_id: str
    before: Figures | None
    samples: list[Figures] = field(default_factory=list)


class OpenMinutes:
    """One minute of each device."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def add(self, device_id: str, boot_id: str, figures: Figures) -> Closed | None:
        """Take a sample; returns the minute that it ended, if it did."""
        start = int(figures.time_unix_s // MINUTE_S) * MINUTE_S
        open_ = self._open.get(device_id)
        if open_ is not None and open_.start_unix_s == start and open_.boot_id == boot_id:
            open_.samples.append(figures)
            return None
        same_boot = open_ is not None and open_.boot_id == boot_id
        before = open_.samples[-1] if open_ is not None and same_boot else None
        self._open[device_id] = _Open(start, boot_id, before, [figures])
        return None if open_ is None else _closed(device_id, open_)

    def close_before(self, time_unix_s: float) -> list[Closed]:
        """End the minutes that were over at a moment: their devices have gone silent."""
        over = [
            name for name, each in self._open.items() if each.start_unix_s + MINUTE_S <= time_unix_s
        ]
        return [_closed(name, self._open.pop(name)) for name in over]


def _closed(device_id: str, minute: _Open) -> Closed:
    whole = len(minute.samples) >= WHOLE_MINUTE
    rollup = fold(minute.samples, minute.before) if whole else None
    return Closed(device_id, minute.start_unix_s, rollup)
