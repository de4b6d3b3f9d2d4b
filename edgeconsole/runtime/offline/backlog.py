"""`Backlog`: a device's own telemetry in SQLite, until every console has acknowledged it.

Blocking, and used by one thread at a time. Bounded by bytes, by age and by what the disk has left; what
cannot be kept is thinned before it is dropped, and what was dropped leaves a gap record in its place.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import ErrorCode, ProtocolError, RequestError, StoreError
from edgeconsole.protocol.backlog import Block, Gap, pack, unpack
from edgeconsole.protocol.control import Backfill, BackfillReply, StoredBlock
from edgeconsole.protocol.rollups import MINUTE_S, fold
from edgeconsole.runtime.offline.minute import Minute, joined
from edgeconsole.runtime.offline.tables import PAGE_BYTES, is_damage, open_or_replace
from edgeconsole.runtime.offline.thinning import Drop, Kept, Thin, give_up

MAX_REPLY_BLOCK_BYTES: Final = 192 * 1024
"""Blocks of one reply, together; what a slow link carries beside live telemetry."""
MAX_SINKS: Final = 16
"""Overflow rule: the console that has not asked for longest is forgotten."""
SINK_FORGOTTEN_S: Final = 7 * 86_400.0
"""A console that did not ask for so long holds nothing back any more."""
_HIGH_WATER: Final = 0.9
_SPARE_PAGES: Final = 64
_GAP: Final = -1
"""In the column `every`: a block that is only a gap."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a backlog."""

    max_bytes: int
    max_age_s: float
    min_free_bytes: int


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


class Backlog:
    """What is kept."""

    def __init__(
        self, path: Path, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._database: sqlite3.Connection | None = None
        self._boot = 0
        self._last = 0
        self._place: tuple[int, int] = (0, 0)
        """The block of the open minute: its first record and its place."""
        self._ran_from_s = 0.0
        self.dropped_samples = 0
        """Samples that went without being acknowledged, since the start."""

    def open(self, boot_id: str) -> str:
        """Open it for a new start of the agent; returns what was wrong with it, if anything.

        Raises:
            StoreError: it cannot be used.
        """
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database, said = open_or_replace(self._path, self._limits.max_bytes)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be used: {error.strerror}") from error
        with self._transaction() as database:
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
        if self._database is not None:
            self._database.close()
            self._database = None

    def write(self, minutes: Sequence[Minute]) -> None:
        """Keep minutes, the last of which may go on; then keep within the bounds.

        Raises:
            StoreError: the disk refused, and nothing of them is kept; they may be given again.
        """
        try:
            self._write(minutes)
        except StoreError as error:
            if not _is_full(error) or not self._give_up():
                raise
            self._write(minutes)
        self._keep_within()

    def read(self, command: Backfill, now_unix_s: float) -> BackfillReply:
        """Return what comes after a console's cursor, and take that as its acknowledgement.

        Raises:
            RequestError: the cursor is not one of ours (`BAD_CURSOR`).
            StoreError: it cannot be read.
        """
        with self._transaction() as database:
            boot, seq = self._resolve(database, command.boot_id, command.seq)
            self._acknowledge(database, command.sink, boot, seq, now_unix_s)
            rows = database.execute(
                "SELECT boot_id, first, last, data FROM block JOIN boot ON boot.number = block.boot "
                "WHERE (boot, last) > (?, ?) ORDER BY boot, last LIMIT ?",
                (boot, seq, command.limit + 1),
            ).fetchall()
        chosen: list[StoredBlock] = []
        size = 0
        for boot_id, first, last, data in rows[: command.limit]:
            size += len(data)
            if chosen and size > MAX_REPLY_BLOCK_BYTES:
                break
            chosen.append(StoredBlock(boot_id, first, last, data))
        return BackfillReply(command.id, tuple(chosen), more=len(rows) > len(chosen))

    def fill(self) -> Fill:
        """Return how full it is; raises `StoreError`."""
        with self._errors() as database:
            samples, thinned, oldest = database.execute(
                "SELECT sum(samples), sum(every NOT IN (1, ?)), min(since_unix_s) FROM block",
                (_GAP,),
            ).fetchone()
            asked, sinks = database.execute(
                "SELECT max(asked_unix_s), count(*) FROM sink"
            ).fetchone()
        free, total = self._disk()
        used = self._used_pages() * PAGE_BYTES
        return Fill(used, samples or 0, thinned or 0, oldest, free, total, asked, sinks)

    # Writing.

    def _write(self, minutes: Sequence[Minute]) -> None:
        place = self._place
        with self._transaction() as database:
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

    def _keep_within(self) -> None:
        with self._errors() as database:
            old = database.execute(
                "SELECT place FROM block WHERE ran_s < ? AND every != ? AND place < ? "
                "ORDER BY place",
                (self._ran_s() - self._limits.max_age_s, _GAP, self._place[1]),
            ).fetchall()
        if old:
            self._drop(tuple(place for (place,) in old), "older than [telemetry] keep_days")
        while self._too_large() and self._give_up():
            pass

    def _too_large(self) -> bool:
        if self._used_pages() * PAGE_BYTES > self._limits.max_bytes * _HIGH_WATER:
            return True
        free, _ = self._disk()
        # Freed pages are used again: a disk that is nearly full is not asked for new ones.
        low = free is not None and free < self._limits.min_free_bytes
        return low and self._pragma("freelist_count") < _SPARE_PAGES

    def _give_up(self) -> bool:
        """Thin or drop once; says whether there was anything."""
        with self._errors() as database:
            rows = database.execute(
                "SELECT place, every FROM block WHERE every != ? AND place != ? ORDER BY place",
                (_GAP, self._place[1]),
            ).fetchall()
        choice = give_up([Kept(*row) for row in rows])
        match choice:
            case Thin():
                self._thin(choice)
            case Drop():
                self._drop(choice.places, "no room")
            case None:
                return False
        return True

    def _thin(self, choice: Thin) -> None:
        with self._transaction() as database:
            for place in choice.places:
                block = _read_block(database, place)
                step = choice.every // max(1, block.every)
                kept = block.samples[::step] if step else ()
                # An agent that was killed could not close its last minute.
                rollup = block.rollup or (fold(block.samples) if block.samples else None)
                thinner = msgspec.structs.replace(
                    block, samples=kept, every=choice.every, rollup=rollup
                )
                database.execute(
                    "UPDATE block SET every = ?, samples = ?, data = ? WHERE place = ?",
                    (choice.every, len(kept), pack(thinner), place),
                )

    def _drop(self, places: Sequence[int], reason: str) -> None:
        """Remove blocks; the last one's place is taken by a record of what is gone."""
        with self._transaction() as database:
            before = database.execute(
                "SELECT place FROM block WHERE every = ? AND place < ?", (_GAP, places[-1])
            ).fetchall()
            gone = [_gap_of(_read_block(database, place), reason) for (place,) in before]
            for place in places:
                gap = _gap_of(_read_block(database, place), reason)
                self.dropped_samples += gap.samples
                gone.append(gap)
            whole = gone[0]
            for gap in gone[1:]:
                whole = joined(whole, gap)
            database.executemany(
                "DELETE FROM block WHERE place = ?", [*before, *((each,) for each in places[:-1])]
            )
            database.execute(
                "UPDATE block SET every = ?, samples = 0, events = 0, since_unix_s = ?, data = ? "
                "WHERE place = ?",
                (_GAP, whole.since_unix_s, pack(Block(gap=whole)), places[-1]),
            )

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

    # SQLite.

    def _ran_s(self) -> float:
        return self._clock() - self._ran_from_s

    def _disk(self) -> tuple[int | None, int | None]:
        try:
            usage = shutil.disk_usage(self._path.parent)
        except OSError:
            return None, None
        return usage.free, usage.total

    def _used_pages(self) -> int:
        return self._pragma("page_count") - self._pragma("freelist_count")

    def _pragma(self, name: str) -> int:
        with self._errors() as database:
            return int(database.execute(f"PRAGMA {name}").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already.
                with contextlib.suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[sqlite3.Connection]:
        if self._database is None:
            raise StoreError(f"{self._path}: is not open")
        try:
            yield self._database
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


def damaged(error: StoreError) -> bool:
    """Say whether it must be opened anew: the file itself is unusable."""
    return isinstance(error.__cause__, sqlite3.Error) and is_damage(error.__cause__)


def _is_full(error: StoreError) -> bool:
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_FULL


def _number(database: sqlite3.Connection, boot_id: str) -> int | None:
    row = database.execute("SELECT number FROM boot WHERE boot_id = ?", (boot_id,)).fetchone()
    return None if row is None else int(row[0])


def _read_block(database: sqlite3.Connection, place: int) -> Block:
    """Return a block; one that cannot be read is empty but for its minute."""
    since_unix_s, data = database.execute(
        "SELECT since_unix_s, data FROM block WHERE place = ?", (place,)
    ).fetchone()
    try:
        return unpack(data)
    except ProtocolError:
        return Block(minute_unix_s=since_unix_s)


def _gap_of(block: Block, reason: str) -> Gap:
    """Return what goes when a block goes, with what was gone before it."""
    since = block.minute_unix_s
    if block.gap is not None and not since:
        return block.gap
    counted = block.rollup.samples if block.rollup is not None else len(block.samples)
    gap = Gap(since, since + MINUTE_S, counted, len(block.events), reason)
    return gap if block.gap is None else joined(block.gap, gap)
