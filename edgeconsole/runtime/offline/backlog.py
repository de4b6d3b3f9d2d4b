"""`Backlog`: a device's own telemetry in SQLite, until every console has acknowledged it.

Blocking, and used by one thread at a time. `Room` keeps it within its bounds.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeconsole.errors import ErrorCode, RequestError, StoreError
from edgeconsole.protocol.backlog import pack
from edgeconsole.protocol.control import Backfill, BackfillReply, StoredBlock
from edgeconsole.runtime.offline.minute import Minute
from edgeconsole.runtime.offline.outbox_file import OutboxFile, is_full
from edgeconsole.runtime.offline.room import GAP, Limits, Room

MAX_REPLY_BLOCK_BYTES: Final = 192 * 1024
"""Blocks of one reply, together; what a slow link carries beside live telemetry."""
MAX_SINKS: Final = 16
"""Overflow rule: the console that has not asked for longest is forgotten."""
SINK_FORGOTTEN_S: Final = 7 * 86_400.0
"""A console that did not ask for so long holds nothing back any more."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How full it is."""

    used_bytes: int = 0
    samples: int = 0
    thinned_blocks: int = 0
    oldest_unix_s: float | None = None
    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None
    asked_unix_s: float | None = None
    sinks: int = 0
    gaps: int = 0


class Backlog:
    """What is kept."""

    def __init__(
        self, path: Path, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = OutboxFile(path, limits.max_bytes)
        self._room = Room(self._file, limits, self._ran_s)
        self._clock = clock
        self._boot = 0
        self._last = 0
        self._place: tuple[int, int] = (0, 0)
        """The block of the open minute: its first record and its place."""
        self._ran_from_s = 0.0

    @property
    def dropped_samples(self) -> int:
        """Return how many samples went without being acknowledged, since the start."""
        return self._room.dropped_samples

    def open(self, boot_id: str) -> str:
        """Open it for a new start of the agent; returns what was wrong with it, if anything.

        Raises:
            StoreError: it cannot be used.
        """
        said = self._file.open()
        with self._file.transaction() as database:
            ran = database.execute(
                "SELECT max(ran_s) FROM (SELECT ran_s FROM block UNION SELECT asked_ran_s FROM sink)"
            ).fetchone()[0]
            database.execute(
                "INSERT OR IGNORE INTO boot (boot_id, started_unix_s) VALUES (?, ?)",
                (boot_id, time.time()),
            )
            self._boot = _number(database, boot_id) or 0
            newest = database.execute(
                "SELECT first, place, last FROM block WHERE boot = ? ORDER BY last DESC LIMIT 1",
                (self._boot,),
            ).fetchone()
        self._place = newest[:2] if newest else (0, 0)
        self._last = newest[2] if newest else 0
        self._ran_from_s = self._clock() - (ran or 0.0)
        return said

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def write(self, minutes: Sequence[Minute]) -> None:
        """Keep minutes, the last of which may go on; then keep within the bounds.

        Raises:
            StoreError: the disk refused, and nothing of them is kept; they may be given again.
        """
        while True:
            try:
                self._write(minutes)
                break
            except StoreError as error:
                if not is_full(error) or not self._room.give_up(self._place[1]):
                    raise
        self._room.keep_within(self._place[1])

    def read(self, command: Backfill, now_unix_s: float) -> BackfillReply:
        """Return what comes after a console's cursor, and take that as its acknowledgement.

        Raises:
            RequestError: the cursor is not one of ours (`BAD_CURSOR`).
            StoreError: it cannot be read.
        """
        with self._file.transaction() as database:
            boot, seq = self._resolve(database, command.boot_id, command.seq)
            self._acknowledge(database, command.sink, boot, seq, now_unix_s)
            rows = database.execute(
                "SELECT boot_id, first, last, data FROM block JOIN boot ON boot.number = block.boot "
                "WHERE (boot, last) > (?, ?) ORDER BY boot, last LIMIT ?",
                (boot, seq, command.limit),
            ).fetchall()
            (there,) = database.execute(
                "SELECT count(*) FROM block WHERE (boot, last) > (?, ?)", (boot, seq)
            ).fetchone()
        chosen: list[StoredBlock] = []
        size = 0
        for boot_id, first, last, data in rows:
            size += len(data)
            if chosen and size > MAX_REPLY_BLOCK_BYTES:
                break
            chosen.append(StoredBlock(boot_id, first, last, data))
        left = there - len(chosen)
        return BackfillReply(command.id, tuple(chosen), more=left > 0, left=left)

    def fill(self) -> Fill:
        """Return how full it is; raises `StoreError`."""
        with self._file.reading() as database:
            samples, thinned, gaps, oldest = database.execute(
                "SELECT sum(samples), sum(every NOT IN (1, ?)), sum(every = ?), min(since_unix_s) "
                "FROM block",
                (GAP, GAP),
            ).fetchone()
            asked, sinks = database.execute(
                "SELECT max(asked_unix_s), count(*) FROM sink"
            ).fetchone()
        free, total = self._room.disk()
        return Fill(
            used_bytes=self._file.used_bytes,
            samples=samples or 0,
            thinned_blocks=thinned or 0,
            oldest_unix_s=oldest,
            disk_free_bytes=free,
            disk_total_bytes=total,
            asked_unix_s=asked,
            sinks=sinks,
            gaps=gaps or 0,
        )

    def _write(self, minutes: Sequence[Minute]) -> None:
        place = self._place
        with self._file.transaction() as database:
            for minute in minutes:
                block = minute.block()
                row = (
                    self._boot,
                    minute.first,
                    minute.last,
                    len(block.samples),
                    len(block.events),
                    minute.start_unix_s,
                    self._ran_s(),
                    pack(block),
                )
                if place[0] == minute.first:
                    database.execute(
                        "UPDATE block SET boot = ?, first = ?, last = ?, samples = ?, events = ?, "
                        "since_unix_s = ?, ran_s = ?, data = ? WHERE place = ?",
                        (*row, place[1]),
                    )
                else:
                    cursor = database.execute(
                        "INSERT INTO block (boot, first, last, samples, events, since_unix_s, "
                        "ran_s, data, every) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                        row,
                    )
                    place = (minute.first, cursor.lastrowid or 0)
        self._place = place
        self._last = max(self._last, *(minute.last for minute in minutes))

    # Consoles.

    def _resolve(self, database: sqlite3.Connection, boot_id: str, seq: int) -> tuple[int, int]:
        if not boot_id:
            return 0, 0
        number = _number(database, boot_id)
        if number is None:
            raise RequestError(
                ErrorCode.BAD_CURSOR,
                f"this device knows no start {boot_id!r} of its agent",
                hint="ask without a boot_id: from the oldest record",
            )
        if number == self._boot and seq > self._last:
            raise RequestError(
                ErrorCode.BAD_CURSOR,
                f"record {seq} was not written yet, the latest is {self._last}",
                hint="ask after a record that the device has sent",
            )
        return number, seq

    def _acknowledge(
        self, database: sqlite3.Connection, sink: str, boot: int, seq: int, now_unix_s: float
    ) -> None:
        """Note how far a console is, and remove what all consoles have."""
        ran_s = self._ran_s()
        database.execute(
            "INSERT INTO sink VALUES (?, ?, ?, ?, ?) ON CONFLICT (sink_id) DO UPDATE SET "
            "boot = excluded.boot, seq = excluded.seq, asked_unix_s = excluded.asked_unix_s, "
            "asked_ran_s = excluded.asked_ran_s",
            (sink, boot, seq, now_unix_s, ran_s),
        )
        database.execute(
            "DELETE FROM sink WHERE asked_ran_s < ? OR sink_id IN "
            "(SELECT sink_id FROM sink ORDER BY asked_ran_s DESC, sink_id LIMIT -1 OFFSET ?)",
            (ran_s - SINK_FORGOTTEN_S, MAX_SINKS),
        )
        slowest = database.execute(
            "SELECT boot, seq FROM sink ORDER BY boot, seq LIMIT 1"
        ).fetchone()
        database.execute(
            "DELETE FROM block WHERE (boot, last) <= (?, ?) AND place != ?",
            (*slowest, self._place[1]),
        )
        # A start of which nothing is left is known for as long as a console may name it.
        database.execute(
            "DELETE FROM boot WHERE number < ? AND number NOT IN (SELECT boot FROM block) "
            "AND number NOT IN (SELECT boot FROM sink)",
            (self._boot,),
        )

    def _ran_s(self) -> float:
        return self._clock() - self._ran_from_s


def _number(database: sqlite3.Connection, boot_id: str) -> int | None:
    row = database.execute("SELECT number FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
    return None if row is None else int(row[0])
