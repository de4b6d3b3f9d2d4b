"""What a screen wants to see of a longer time: read from the history, off the loop, as it is wanted.

A screen says what it shows; the next look reads it, and again when a chart of that length has moved by
a column.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgeconsole.errors import StoreError
from edgeconsole.fleet import past
from edgeconsole.fleet.store import FleetStore, Point

LOOK_S: Final = 0.25
_COLUMNS: Final = 400
"""Of the widest chart."""
_LEAST_S: Final = 5.0


class LookBack:
    """The points of one longer time of one device."""

    def __init__(
        self, history: Path, store: FleetStore, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._history = history
        self._store = store
        self._wall_clock = wall_clock
        self._read: tuple[str, float] | None = None
        self._read_at = float("-inf")
        self.problem = ""
        """Why the history cannot be read at the moment; empty while all is well."""

    async def run(self) -> None:
        """Read what is wanted, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Read what is wanted, if it is new or old enough."""
        wanted = self._store.wanted
        if wanted is None:
            self._read = None
            return
        device_id, seconds = wanted
        now = self._store.clock()
        if wanted == self._read and now - self._read_at < max(_LEAST_S, seconds / _COLUMNS):
            return
        try:
            points = await asyncio.to_thread(self._points, device_id, seconds, now)
        except StoreError as error:
            self.problem = error.message
            return
        self.problem = ""
        self._read, self._read_at = wanted, now
        self._store.put_past(device_id, seconds, points)

    def _points(self, device_id: str, seconds: float, now: float) -> tuple[Point, ...]:
        """Read; in a thread."""
        device_unix_s = self._store.device_now(device_id) or self._wall_clock()
        return tuple(
            past.points(
                self._history,
                device_id,
                (device_unix_s - seconds, device_unix_s),
                past.resolution_for(seconds),
                now - device_unix_s,
            )
        )
