"""What the console remembers: samples and events in SQLite, written in batches by one writer.

WAL with one commit every half second: a console that is killed loses at most the last second, and
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

from edgeconsole.errors import StoreError
from edgeconsole.fleet.store import Point, representative
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, Severity

FLUSH_S: Final = 0.5
KEEP_S: Final = 30 * 86400.0
"""Raw samples and events older than 30 days are removed."""
_PRUNE_EVERY_S: Final = 3600.0
MAX_WAITING: Final = 100_000
"""Overflow rule while the disk refuses: the oldest rows are dropped, and counted."""
SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sample (
    device_id TEXT NOT NULL,
    time_unix_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    model TEXT,
    version TEXT,
    variant TEXT,
    deadline_ms REAL,
    p50_ms REAL,
    p95_ms REAL,
    p99_ms REAL,
    rate_per_s REAL NOT NULL,
    requests_total INTEGER NOT NULL,
    answered_total INTEGER NOT NULL,
    refused_total INTEGER NOT NULL,
    failed_total INTEGER NOT NULL,
    late_total INTEGER NOT NULL,
    temp_c REAL,
    temp_quality TEXT NOT NULL,
    power_w REAL,
    power_quality TEXT NOT NULL,
    cpu_percent REAL,
    memory_percent REAL,
    PRIMARY KEY (device_id, time_unix_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    device_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time_unix_s REAL NOT NULL,
    severity TEXT NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (device_id, boot_id, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_by_time ON event (device_id, time_unix_s);
"""
_INSERT_SAMPLE: Final = (
    "INSERT OR IGNORE INTO sample VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_EVENT: Final = "INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?)"

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
        self._database: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Open or create the database.

        Raises:
            StoreError: it cannot be used, or a newer program wrote it.
        """
        try:
            # aiosqlite's thread outlives a failed connect, and the loop: try without it first.
            await asyncio.to_thread(_make, self.path)
            database = await aiosqlite.connect(self.path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path}: cannot be opened: {error}") from error
        try:
            await database.execute("PRAGMA journal_mode=WAL")
            await database.execute("PRAGMA synchronous=NORMAL")
            await database.execute("PRAGMA busy_timeout=5000")
            await database.execute("PRAGMA journal_size_limit=8388608")
            await self._prepare(database)
        except BaseException as error:
            await database.close()
            if isinstance(error, sqlite3.Error):
                raise StoreError(
                    f"{self.path}: is not a usable history: {error}",
                    hint="move it away; a new one is made",
                ) from error
            raise
        self._database = database

    async def _prepare(self, database: aiosqlite.Connection) -> None:
        async with database.execute("PRAGMA user_version") as cursor:
            row = await cursor.fetchone()
        found = row[0] if row else 0
        if found > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: was written by a newer EdgeConsole (version {found} of its tables)",
                hint="update EdgeConsole, or use another history file",
            )
        await database.executescript(_SCHEMA)
        await database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        await database.commit()

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
        samples, events = len(self._samples), len(self._events)
        if not samples and not events:
            return
        database = self._open_database()
        try:
            await database.executemany(_INSERT_SAMPLE, list(self._samples))
            await database.executemany(_INSERT_EVENT, list(self._events))
            await database.commit()
        except (sqlite3.Error, OverflowError) as error:
            self.problem = f"{self.path}: {error}"
            with contextlib.suppress(sqlite3.Error):
                await database.rollback()
            return
        self.problem = ""
        for _ in range(samples):
            self._samples.popleft()
        for _ in range(events):
            self._events.popleft()

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
            "SELECT device_id, boot_id, seq, time_unix_s, severity, kind, message FROM event "
            "WHERE device_id = ? ORDER BY time_unix_s DESC, seq DESC LIMIT ?"
        )
        async with self._open_database().execute(query, (device_id, limit)) as cursor:
            rows = list(await cursor.fetchall())
        return [
            DeviceEvent(row[0], row[1], row[2], row[3], Severity(row[4]), row[5], row[6])
            for row in reversed(rows)
        ]

    async def _prune(self) -> None:
        before = time.time() - KEEP_S
        database = self._open_database()
        try:
            await database.execute("DELETE FROM sample WHERE time_unix_s < ?", (before,))
            await database.execute("DELETE FROM event WHERE time_unix_s < ?", (before,))
            await database.commit()
        except sqlite3.Error as error:
            self.problem = f"{self.path}: {error}"
            with contextlib.suppress(sqlite3.Error):
                await database.rollback()

    def _open_database(self) -> aiosqlite.Connection:
        if self._database is None:
            raise StoreError(f"{self.path}: is not open")
        return self._database


def _make(path: Path) -> None:
    """Make the database file, if it is not there; raises what makes that impossible."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sqlite3.connect(path).close()


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
