"""`Room`: keeps a backlog within its bounds: too old, too large, or on a disk that is nearly full.

Blocking, and used by one thread at a time. What goes is thinned before it is dropped; what was dropped
leaves a gap record in its place.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from edgeconsole.errors import ProtocolError
from edgeconsole.protocol.backlog import Block, Gap, pack, unpack
from edgeconsole.protocol.rollups import MINUTE_S, fold
from edgeconsole.runtime.offline.minute import joined
from edgeconsole.runtime.offline.outbox_file import OutboxFile
from edgeconsole.runtime.offline.thinning import Drop, Kept, Thin, give_up

GAP: Final = -1
"""In the column `every`: a block that is only a gap."""
_HIGH_WATER: Final = 0.9
_SPARE_PAGES: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a backlog."""

    max_bytes: int
    max_age_s: float
    min_free_bytes: int


class Room:
    """The bounds of one file. All methods raise `StoreError`."""

    def __init__(self, file: OutboxFile, limits: Limits, ran_s: Callable[[], float]) -> None:
        self._file = file
        self._limits = limits
        self._ran_s = ran_s
        self.dropped_samples = 0
        """Samples that went without being acknowledged, since the start."""

    def disk(self) -> tuple[int | None, int | None]:
        """Return the free and all bytes of the disk; `None`: unknown."""
        try:
            usage = shutil.disk_usage(self._file.path.parent)
        except OSError:
            return None, None
        return usage.free, usage.total

    def keep_within(self, open_place: int) -> None:
        """Give up what is too much; the block at `open_place` goes on and stays."""
        with self._file.reading() as database:
            old = database.execute(
                "SELECT place FROM block WHERE ran_s < ? AND every != ? AND place < ? "
                "ORDER BY place",
                (self._ran_s() - self._limits.max_age_s, GAP, open_place),
            ).fetchall()
        if old:
            self._drop(tuple(place for (place,) in old), "older than [telemetry] keep_days")
        while self._too_large() and self.give_up(open_place):
            pass

    def give_up(self, open_place: int) -> bool:
        """Thin or drop once; says whether there was anything."""
        with self._file.reading() as database:
            rows = database.execute(
                "SELECT place, every FROM block WHERE every != ? AND place != ? ORDER BY place",
                (GAP, open_place),
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

    def _too_large(self) -> bool:
        if self._file.used_bytes > self._limits.max_bytes * _HIGH_WATER:
            return True
        free, _ = self.disk()
        # Freed pages are used again: a disk that is nearly full is not asked for new ones.
        low = free is not None and free < self._limits.min_free_bytes
        return low and self._file.free_pages < _SPARE_PAGES

    def _thin(self, choice: Thin) -> None:
        with self._file.transaction() as database:
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
        with self._file.transaction() as database:
            before = database.execute(
                "SELECT place FROM block WHERE every = ? AND place < ?", (GAP, places[-1])
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
                (GAP, whole.since_unix_s, pack(Block(gap=whole)), places[-1]),
            )


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
