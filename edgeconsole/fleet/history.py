"""What the console remembers: samples, events, transitions in SQLite, written in batches by one writer.

One commit a second, of large fleets one in up to five: a console that is killed fetches again what it
had not written, and reading never waits for writing.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite
import msgspec

from edgeconsole.errors import StoreError
from edgeconsole.fleet import late, rows, upkeep
from edgeconsole.fleet.database import BUSY_S, make
from edgeconsole.fleet.minutes import Closed, OpenMinutes
from edgeconsole.fleet.store import Point
from edgeconsole.protocol.failsafe import Transition
from edgeconsole.protocol.figures import figures_of, representative
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, Severity
from edgeconsole.protocol.thermal import ThermalTransition
from edgeconsole.specs import RetentionConfig

FLUSH_S: Final = 1.0
MOST_FLUSH_S: Final = 5.0
_DEVICES_A_SECOND: Final = 200
"""Every device's rows lie in a page of its own: a commit writes as many pages as there are devices, be
it with one row for each or with five. So large fleets are written less often, each device at a stretch."""
_PRUNE_EVERY_S: Final = 3600.0
MAX_WAITING: Final = 100_000
"""Overflow rule while the disk refuses: the oldest rows are dropped, and counted."""
MINUTES_S: Final = 5.0
UPKEEP_S: Final = 20.0
_BREATH_S: Final = 0.05
"""Between two pieces of upkeep: whoever else writes comes first."""
_Detail = TypeVar("_Detail", Transition, ThermalTransition)


class History:
    """The history database. `add_*` only queue; `run` writes."""

    def __init__(
        self,
        path: Path,
        keep: RetentionConfig = RetentionConfig(),  # noqa: B008 - it is frozen
        fleet: str = "",
        device_ids: Collection[str] = (),
    ) -> None:
        """Make it; `fleet` and its devices are those of the fleet's line."""
        self.path = path
        self.problem = ""
        """Why nothing is written at the moment; empty while all is well."""
        self.upkeep_problem = ""
        """Why rollups or removals are behind; empty while all is well."""
        self.dropped = 0
        self._keep = keep
        self._fleet = fleet
        self._device_ids = tuple(device_ids)
        self._minutes = OpenMinutes()
        self._closed: deque[Closed] = deque(maxlen=MAX_WAITING)
        self._samples: deque[rows.Row] = deque(maxlen=MAX_WAITING)
        self._events: deque[rows.Row] = deque(maxlen=MAX_WAITING)
        self._transitions: deque[rows.Row] = deque(maxlen=MAX_WAITING)
        self._thermal: deque[rows.Row] = deque(maxlen=MAX_WAITING)
        self._database: aiosqlite.Connection | None = None
        self._flushing = asyncio.Lock()

    async def open(self) -> None:
        """Open or create the database.

        Raises:
            StoreError: it cannot be used, or a newer program wrote it.
        """
        # aiosqlite's thread outlives a failed connect, and the loop: try without it first.
        await asyncio.to_thread(make, self.path)
        try:
            database = await aiosqlite.connect(self.path)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot be opened: {error}") from error
        try:
            await database.execute("PRAGMA synchronous=NORMAL")
            await database.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")
            await database.execute("PRAGMA journal_size_limit=8388608")
        except BaseException:
            await database.close()
            raise
        self._database = database

    def add_sample(self, device_id: str, sample: DeviceSample) -> None:
        """Queue a sample for writing."""
        self.dropped += len(self._samples) == MAX_WAITING
        figures, model = figures_of(sample), representative(sample)
        rss_bytes = None if model is None else model.rss_bytes
        self._samples.append(rows.sample_row(device_id, sample.boot_id, figures, rss_bytes))
        closed = self._minutes.add(device_id, sample.boot_id, figures)
        if closed is not None:
            self._closed.append(closed)

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Queue an event for writing."""
        self.dropped += len(self._events) == MAX_WAITING
        self._events.append(rows.event_row(device_id, event))
        for moved, queue in (
            (rows.transition_row(device_id, event), self._transitions),
            (rows.thermal_row(device_id, event), self._thermal),
        ):
            if moved is not None:
                self.dropped += len(queue) == MAX_WAITING
                queue.append(moved)

    async def run(self) -> None:
        """Write for ever, as often as `flush_s` says; what the disk refuses is tried again."""
        while True:
            await asyncio.sleep(flush_s(len(self._device_ids)))
            await self.flush()

    async def keep_up(self) -> None:
        """Sum up minutes, hours and the fleet, and remove what is too old, for ever."""
        pruned_s = summed_s = float("-inf")
        while True:
            await asyncio.sleep(MINUTES_S)
            now_s = time.monotonic()
            try:
                await self.write_minutes()
                if now_s - summed_s > UPKEEP_S:
                    await self.sum_up()
                    summed_s = now_s
                if now_s - pruned_s > _PRUNE_EVERY_S:
                    await self._repeat(upkeep.prune, self.path, self._keep, time.time())
                    pruned_s = now_s
                self.upkeep_problem = ""
            except StoreError as error:
                self.upkeep_problem = error.message

    async def write_minutes(self) -> None:
        """Write the minutes that are over; raises `StoreError`, and then they wait."""
        self._closed.extend(self._minutes.close_before(time.time() - upkeep.SETTLE_S))
        closed = list(self._closed)
        if closed:
            await self.flush()
            await asyncio.to_thread(late.write_closed, self.path, closed)
            for _ in closed:
                self._closed.popleft()

    async def sum_up(self) -> None:
        """Make hours and the fleet's line of the minutes that changed; raises `StoreError`."""
        await self._repeat(upkeep.count_old_samples, self.path)
        await self._repeat(upkeep.sum_up, self.path, self._fleet, self._device_ids, time.time())

    async def _repeat(self, piece: Callable[..., bool], *arguments: object) -> None:
        while await asyncio.to_thread(piece, *arguments):  # noqa: ASYNC110 - a breath, no wait
            await asyncio.sleep(_BREATH_S)

    async def flush(self) -> None:
        """Write what waits in one transaction; on failure it keeps waiting and `problem` says why."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        waiting = (
            (rows.INSERT_SAMPLE, self._samples, sorted(self._samples, key=itemgetter(0))),
            (rows.INSERT_EVENT, self._events, list(self._events)),
            (rows.INSERT_TRANSITION, self._transitions, list(self._transitions)),
            (rows.INSERT_THERMAL, self._thermal, list(self._thermal)),
        )
        if not any(each for _, _, each in waiting):
            return
        database = self._open_database()
        try:
            for insert, _, each in waiting:
                await database.executemany(insert, each)
            await database.commit()
        except (sqlite3.Error, OverflowError) as error:
            self.problem = f"{self.path}: {error}"
            with contextlib.suppress(sqlite3.Error):
                await database.rollback()
            return
        self.problem = ""
        for _, queue, each in waiting:
            for _ in each:
                queue.popleft()

    async def close(self) -> None:
        """Write what waits and close."""
        if self._database is not None:
            await self.flush()
            await self._database.close()
            self._database = None

    @property
    def is_open(self) -> bool:
        """Say whether the database is open."""
        return self._database is not None

    async def rows(self) -> int:
        """Return how many samples are kept."""
        async with self._open_database().execute("SELECT count(*) FROM sample") as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def recent_points(
        self, device_id: str, seconds: float, now_unix_s: float, now_s: float
    ) -> list[Point]:
        """Return a device's chart points of the last `seconds`, on the monotonic clock `now_s`."""
        query = (
            "SELECT time_unix_s, p50_ms, p95_ms, p99_ms, temp_c, power_w, cpu_percent, "
            "memory_percent, rate_per_s, coalesce(model || '/' || version || '/' || variant, ''), "
            "rss_bytes FROM sample "
            "WHERE device_id = ? AND time_unix_s BETWEEN ? AND ? ORDER BY time_unix_s"
        )
        window = (device_id, now_unix_s - seconds, now_unix_s)
        async with self._open_database().execute(query, window) as cursor:
            found: Iterable[sqlite3.Row] = await cursor.fetchall()
        ahead_s = now_s - now_unix_s
        # A fleet has hundreds of thousands of points and a handful of names.
        told = [(*row[1:9], sys.intern(row[9]), row[10]) for row in found]
        return [Point(row[0] + ahead_s, *rest) for row, rest in zip(found, told, strict=True)]

    async def recent_events(self, device_id: str, limit: int) -> list[DeviceEvent]:
        """Return a device's latest events, oldest first."""
        query = (
            "SELECT event.device_id, event.boot_id, event.seq, event.time_unix_s, severity, kind, "
            "message, transition.detail, thermal_transition.detail FROM event "
            "LEFT JOIN transition USING (device_id, boot_id, seq) "
            "LEFT JOIN thermal_transition USING (device_id, boot_id, seq) "
            "WHERE event.device_id = ? ORDER BY event.time_unix_s DESC, event.seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, limit)) as cursor:
            found = list(await cursor.fetchall())
        return [
            DeviceEvent(
                row[0],
                row[1],
                row[2],
                row[3],
                Severity(row[4]),
                row[5],
                row[6],
                _detail(row[7], Transition),
                _detail(row[8], ThermalTransition),
            )
            for row in reversed(found)
        ]

    async def transitions(self, device_id: str, model: str, limit: int) -> list[Transition]:
        """Return a device's latest transitions, newest first; of one model, if it is named."""
        query = (
            "SELECT detail FROM transition WHERE device_id = ? AND ? IN ('', model) "
            "ORDER BY time_unix_s DESC, seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, model, limit)) as cursor:
            found = [_detail(row[0], Transition) for row in await cursor.fetchall()]
        return [each for each in found if each is not None]

    async def thermal_transitions(self, device_id: str, limit: int) -> list[ThermalTransition]:
        """Return a device's latest thermal transitions, newest first."""
        query = (
            "SELECT detail FROM thermal_transition WHERE device_id = ? "
            "ORDER BY time_unix_s DESC, seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, limit)) as cursor:
            found = [_detail(row[0], ThermalTransition) for row in await cursor.fetchall()]
        return [each for each in found if each is not None]

    def _open_database(self) -> aiosqlite.Connection:
        if self._database is None:
            raise StoreError(f"{self.path}: is not open")
        return self._database


def flush_s(devices: int) -> float:
    """Return how often the rows of so many devices are written, in seconds."""
    return min(MOST_FLUSH_S, max(FLUSH_S, devices / _DEVICES_A_SECOND))


def _detail(detail: str | None, kind: type[_Detail]) -> _Detail | None:
    """Return a stored transition; `None` if there is none, or one that this program cannot read."""
    try:
        return None if detail is None else msgspec.json.decode(detail, type=kind)
    except msgspec.MsgspecError:
        return None
