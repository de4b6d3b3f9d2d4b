"""What devices kept while nobody listened, written into the history with its cursor in one transaction.

Blocking: called in a thread. Writing the same block twice changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edgeconsole.fleet import rows
from edgeconsole.fleet.database import reading, transaction
from edgeconsole.fleet.minutes import WHOLE_MINUTE, Closed
from edgeconsole.protocol.backlog import Block, Gap
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import MINUTE_S, Rollup, fold, merge


class LateBlock(msgspec.Struct, frozen=True):
    """A block as it came from a device."""

    boot_id: str
    last: int
    block: Block | None
    """`None`: it could not be read."""


def sink_id(path: Path) -> str:
    """Return the name under which this history asks devices; raises `StoreError`."""
    with reading(path) as database:
        row = database.execute("SELECT value FROM own WHERE name = 'sink_id'").fetchone()
    return str(row[0])


def cursor(path: Path, device_id: str) -> tuple[str, int]:
    """Return the latest record of a device's backlog that is here, `("", 0)`: none; raises `StoreError`."""
    with reading(path) as database:
        row = database.execute(
            "SELECT boot_id, seq FROM cursor WHERE device_id = ?", (device_id,)
        ).fetchone()
    return (str(row[0]), int(row[1])) if row else ("", 0)


def forget_cursor(path: Path, device_id: str) -> None:
    """Begin at the oldest record of a device again; raises `StoreError`."""
    with transaction(path, durable=False) as database:
        database.execute("DELETE FROM cursor WHERE device_id = ?", (device_id,))


def write(path: Path, device_id: str, late: Sequence[LateBlock]) -> int:
    """Write blocks and how far they reach; returns how many samples were new.

    Raises:
        StoreError: the database refused; nothing was written.
    """
    with transaction(path, durable=False) as database:
        new = sum(_write_block(database, device_id, each) for each in late)
        database.execute(
            "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)",
            (device_id, late[-1].boot_id, late[-1].last),
        )
    return new


def _write_block(database: sqlite3.Connection, device_id: str, late: LateBlock) -> int:
    block = late.block
    if block is None:
        return 0
    before = database.total_changes
    database.executemany(
        rows.INSERT_SAMPLE,
        [rows.sample_row(device_id, late.boot_id, each) for each in block.samples],
    )
    new = database.total_changes - before
    database.executemany(
        rows.INSERT_EVENT, [rows.event_row(device_id, each) for each in block.events]
    )
    moves = (
        (rows.INSERT_TRANSITION, [rows.transition_row(device_id, each) for each in block.events]),
        (rows.INSERT_THERMAL, [rows.thermal_row(device_id, each) for each in block.events]),
    )
    for insert, moved in moves:
        database.executemany(insert, [row for row in moved if row is not None])
    if block.gap is not None:
        _write_gap(database, device_id, block.gap)
    rollup = block.rollup
    if rollup is not None and (rollup.samples >= WHOLE_MINUTE or block.every != 1):
        put_minutes(database, [(device_id, int(block.minute_unix_s), rollup)])
    elif new:
        minutes = {int(each.time_unix_s // MINUTE_S) * MINUTE_S for each in block.samples}
        recount(database, device_id, minutes)
    return new


def _write_gap(database: sqlite3.Connection, device_id: str, gap: Gap) -> None:
    """Write a gap down; a device's own record of it grows as more is dropped."""
    database.execute(
        "DELETE FROM gap WHERE device_id = ? AND since_unix_s >= ? AND until_unix_s <= ?",
        (device_id, gap.since_unix_s, gap.until_unix_s),
    )
    database.execute(
        "INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?, ?, ?)",
        (device_id, *msgspec.structs.astuple(gap)),
    )


def put_minutes(database: sqlite3.Connection, minutes: Sequence[tuple[str, int, Rollup]]) -> None:
    """Put minutes in place of those that know of fewer samples; hours and fleet lines are now old."""
    database.executemany(rows.PUT_MINUTE, [rows.rollup_row(*minute) for minute in minutes])
    hours = {(device_id, rows.hour_of(start)) for device_id, start, _ in minutes}
    database.executemany(rows.INSERT_OLD_HOUR, sorted(hours))
    database.executemany(
        rows.INSERT_OLD_FLEET_MINUTE, sorted({(start,) for _, start, _ in minutes})
    )


def write_closed(path: Path, closed: Sequence[Closed]) -> None:
    """Write minutes that are over, and count those that nobody saw whole; raises `StoreError`."""
    with transaction(path, durable=False) as database:
        put_minutes(
            database,
            [(each.device_id, each.start_unix_s, each.rollup) for each in closed if each.rollup],
        )
        for each in closed:
            if each.rollup is None:
                recount(database, each.device_id, [each.start_unix_s])


def recount(database: sqlite3.Connection, device_id: str, minutes: Iterable[int]) -> None:
    """Fold minutes anew from the samples that are here."""
    counted: list[tuple[str, int, Rollup]] = []
    for start in sorted(minutes):
        found = database.execute(
            f"{rows.SELECT_FIGURES} WHERE device_id = ? AND time_unix_s >= ? AND time_unix_s < ? "
            "ORDER BY time_unix_s",
            (device_id, start - MINUTE_S, start + MINUTE_S),
        ).fetchall()
        by_boot: dict[str, list[Figures]] = {}
        for boot_id, figures in map(rows.figures_in, found):
            by_boot.setdefault(boot_id, []).append(figures)
        parts: list[Rollup] = []
        for samples in by_boot.values():
            inside = [each for each in samples if each.time_unix_s >= start]
            ahead = samples[: len(samples) - len(inside)]
            if inside:
                parts.append(fold(inside, ahead[-1] if ahead else None))
        if parts:
            counted.append((device_id, start, merge(parts) if len(parts) > 1 else parts[0]))
    put_minutes(database, counted)
