"""What the console remembers: samples, events, transitions in SQLite, written in batches by one writer.

One commit every half second: a console that is killed loses at most the last second, and
reading never waits for writing.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import aiosqlite
import msgspec

from edgeconsole.errors import StoreError
from edgeconsole.fleet.database import BUSY_S, make
from edgeconsole.fleet.store import Point, representative
from edgeconsole.protocol.failsafe import Transition
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, Severity

FLUSH_S: Final = 0.5
KEEP_S: Final = 30 * 86400.0
"""Raw samples, events and transitions older than 30 days are removed; the audit never is."""
_PRUNE_EVERY_S: Final = 3600.0
MAX_WAITING: Final = 100_000
"""Overflow rule while the disk refuses: the oldest rows are dropped, and counted."""
_INSERT_SAMPLE: Final = (
    "INSERT OR IGNORE INTO sample VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_EVENT: Final = "INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?)"
_INSERT_TRANSITION: Final = "INSERT OR IGNORE INTO transition VALUES (?,?,?,?,?,?)"

Row = tuple[str | int | float | None, ...]


class History:
    """The history database. `add_*` only queue; `run` writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """Why nothing is written at the moment; empty while all is well."""
        self.dropped = 0
        self._samples: deque[Row] = deque(maxlen=MAX_WAITING)
        self._events: deque[Row] = deque(maxlen=MAX_WAITING)
        self._transitions: deque[Row] = deque(maxlen=MAX_WAITING)
        self._database: aiosqlite.Connection | None = None

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
        self._samples.append(_sample_row(device_id, sample))

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Queue an event for writing."""
        self.dropped += len(self._events) == MAX_WAITING
        self._events.append(
            (
                device_id,
                event.boot_id,
                event.seq,
                event.time_unix_s,
                event.severity.value,
                event.kind,
                event.message,
            )
        )
        if event.transition is not None:
            self.dropped += len(self._transitions) == MAX_WAITING
            self._transitions.append(
                (
                    device_id,
                    event.boot_id,
                    event.seq,
                    event.transition.time_unix_s,
                    event.transition.model,
                    msgspec.json.encode(event.transition).decode(),
                )
            )

    async def run(self) -> None:
        """Write for ever, every half second; what the disk refuses is tried again."""
        pruned_s = float("-inf")
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()
            if time.monotonic() - pruned_s > _PRUNE_EVERY_S:
                pruned_s = time.monotonic()
                await self._prune()

    async def flush(self) -> None:
        """Write what waits in one transaction; on failure it keeps waiting and `problem` says why."""
        waiting = (
            (_INSERT_SAMPLE, self._samples, list(self._samples)),
            (_INSERT_EVENT, self._events, list(self._events)),
            (_INSERT_TRANSITION, self._transitions, list(self._transitions)),
        )
        if not any(rows for _, _, rows in waiting):
            return
        database = self._open_database()
        try:
            for insert, _, rows in waiting:
                await database.executemany(insert, rows)
            await database.commit()
        except (sqlite3.Error, OverflowError) as error:
            self.problem = f"{self.path}: {error}"
            with contextlib.suppress(sqlite3.Error):
                await database.rollback()
            return
        self.problem = ""
        for _, queue, rows in waiting:
            for _ in rows:
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
            "memory_percent, rate_per_s FROM sample "
            "WHERE device_id = ? AND time_unix_s BETWEEN ? AND ? ORDER BY time_unix_s"
        )
        window = (device_id, now_unix_s - seconds, now_unix_s)
        async with self._open_database().execute(query, window) as cursor:
            rows: Iterable[sqlite3.Row] = await cursor.fetchall()
        return [Point(now_s - (now_unix_s - row[0]), *row[1:]) for row in rows]

    async def recent_events(self, device_id: str, limit: int) -> list[DeviceEvent]:
        """Return a device's latest events, oldest first."""
        query = (
            "SELECT event.device_id, event.boot_id, event.seq, event.time_unix_s, severity, kind, "
            "message, detail FROM event LEFT JOIN transition USING (device_id, boot_id, seq) "
            "WHERE event.device_id = ? ORDER BY event.time_unix_s DESC, event.seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, limit)) as cursor:
            rows = list(await cursor.fetchall())
        return [
            DeviceEvent(
                row[0],
                row[1],
                row[2],
                row[3],
                Severity(row[4]),
                row[5],
                row[6],
                _transition(row[7]),
            )
            for row in reversed(rows)
        ]

    async def transitions(self, device_id: str, model: str, limit: int) -> list[Transition]:
        """Return a device's latest transitions, newest first; of one model, if it is named."""
        query = (
            "SELECT detail FROM transition WHERE device_id = ? AND ? IN ('', model) "
            "ORDER BY time_unix_s DESC, seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, model, limit)) as cursor:
            found = [_transition(row[0]) for row in await cursor.fetchall()]
        return [each for each in found if each is not None]

    async def _prune(self) -> None:
        before = time.time() - KEEP_S
        database = self._open_database()
        try:
            for table in ("sample", "event", "transition"):
                await database.execute(
                    f"DELETE FROM {table} WHERE time_unix_s < ?",  # noqa: S608
                    (before,),
                )
            await database.commit()
        except sqlite3.Error as error:
            self.problem = f"{self.path}: {error}"
            with contextlib.suppress(sqlite3.Error):
                await database.rollback()

    def _open_database(self) -> aiosqlite.Connection:
        if self._database is None:
            raise StoreError(f"{self.path}: is not open")
        return self._database


def _transition(detail: str | None) -> Transition | None:
    """Return a stored transition; `None` if there is none, or one that this program cannot read."""
    try:
        return None if detail is None else msgspec.json.decode(detail, type=Transition)
    except msgspec.MsgspecError:
        return None


def _sample_row(device_id: str, sample: DeviceSample) -> Row:
    model = representative(sample)
    models = sample.models
    return (
        device_id,
        sample.time_unix_s,
        sample.boot_id,
        sample.seq,
        sample.state.value,
        model.model if model else None,
        model.version if model else None,
        model.variant if model else None,
        model.deadline_ms if model else None,
        model.p50_ms if model else None,
        model.p95_ms if model else None,
        model.p99_ms if model else None,
        sum(each.rate_per_s for each in models),
        sum(each.requests_total for each in models),
        sum(each.answered_total for each in models),
        sum(each.refused_total for each in models),
        sum(each.failed_total for each in models),
        sum(each.late_total for each in models),
        sample.temp_c.value,
        sample.temp_c.quality.value,
        sample.power_w.value,
        sample.power_w.quality.value,
        sample.cpu_percent,
        sample.memory_percent,
    )
