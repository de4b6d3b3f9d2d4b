"""What the history knows of a time: samples, minutes or hours, of a device or of the fleet.

Blocking: called in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

from edgeconsole.fleet import rows
from edgeconsole.fleet.database import reading
from edgeconsole.fleet.schema import FLEET_COLUMNS, ROLLUP_COLUMNS
from edgeconsole.fleet.store import Point
from edgeconsole.protocol.backlog import Gap
from edgeconsole.protocol.rollups import HOUR_S, MINUTE_S

RAW_UP_TO_S: Final = 2 * 3600.0
MINUTES_UP_TO_S: Final = 3 * 86_400.0


class Resolution(StrEnum):
    """How fine the rows of an answer are."""

    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"


_TABLES: Final = {Resolution.HOUR: ("h1", HOUR_S), Resolution.MINUTE: ("m1", MINUTE_S)}
_FINER: Final = (Resolution.HOUR, Resolution.MINUTE, Resolution.RAW)
_POINT: Final = "p50_ms, p95_ms, p99_ms, temp_c, power_w, cpu_percent, memory_percent, rate_per_s"
_HIGHS: Final = "p50_ms, p95_ms, p99_high_ms, temp_high_c, power_w, cpu_high_percent, memory_percent, rate_per_s"
"""A spike is never averaged away: where a chart has limits it shows the highest."""


def resolution_for(seconds: float) -> Resolution:
    """Return what a chart of so long a time needs at most."""
    if seconds <= RAW_UP_TO_S:
        return Resolution.RAW
    return Resolution.MINUTE if seconds <= MINUTES_UP_TO_S else Resolution.HOUR


def points(
    path: Path,
    device_id: str,
    window_unix_s: tuple[float, float],
    resolution: Resolution,
    ahead_s: float,
) -> list[Point]:
    """Return chart points of a time, each `ahead_s` later than by the device's clock.

    What is too recent to be summed up comes in the finer form. A rollup stands in its middle.

    Raises:
        StoreError: the history cannot be read.
    """
    since, until = window_unix_s
    found: list[Point] = []
    with reading(path) as database:
        for each in _FINER[_FINER.index(resolution) :]:
            part = _points(database, device_id, (since, until), each)
            found += [_point(row, ahead_s) for row in part]
            if part and each is not Resolution.RAW:
                size = _TABLES[each][1]
                since = part[-1][0] + size / 2
    return found


def _point(row: tuple[float, ...], ahead_s: float) -> Point:
    at, p50, p95, p99, temp, power, cpu, memory, rate = row
    return Point(at + ahead_s, p50, p95, p99, temp, power, cpu, memory, rate or 0.0)


def _points(
    database: sqlite3.Connection,
    device_id: str,
    window_unix_s: tuple[float, float],
    resolution: Resolution,
) -> list[tuple[float, ...]]:
    if resolution is Resolution.RAW:
        time, figures, source, order = "time_unix_s", _POINT, "sample", "time_unix_s"
    else:
        source, size = _TABLES[resolution]
        time, figures, order = f"start_unix_s + {size / 2}", _HIGHS, "start_unix_s"
    query = (
        f"SELECT {time}, {figures} FROM {source} WHERE device_id = ? "  # noqa: S608
        f"AND {order} >= ? AND {order} <= ? ORDER BY {order}"
    )
    return database.execute(query, (device_id, *window_unix_s)).fetchall()


def table(
    path: Path, device_id: str, window_unix_s: tuple[float, float], resolution: Resolution
) -> tuple[tuple[str, ...], list[rows.Row]]:
    """Return the names of the columns and the rows of a time; raises `StoreError`."""
    if resolution is Resolution.RAW:
        columns = ("time_unix_s", *(name for name in rows.FIGURES if name != "time_unix_s"))
        source, order = "sample", "time_unix_s"
    else:
        columns = ("start_unix_s", *ROLLUP_COLUMNS)
        source, order = _TABLES[resolution][0], "start_unix_s"
    query = (
        f"SELECT {', '.join(columns)} FROM {source} WHERE device_id = ? "  # noqa: S608
        f"AND {order} >= ? AND {order} <= ? ORDER BY {order}"
    )
    with reading(path) as database:
        return columns, database.execute(query, (device_id, *window_unix_s)).fetchall()


def fleet_table(
    path: Path, fleet: str, window_unix_s: tuple[float, float]
) -> tuple[tuple[str, ...], list[rows.Row]]:
    """Return the fleet's minutes of a time, likewise; raises `StoreError`."""
    columns = ("start_unix_s", *FLEET_COLUMNS)
    query = (
        f"SELECT {', '.join(columns)} FROM fleet_m1 WHERE fleet = ? AND start_unix_s >= ? "  # noqa: S608
        "AND start_unix_s <= ? ORDER BY start_unix_s"
    )
    with reading(path) as database:
        return columns, database.execute(query, (fleet, *window_unix_s)).fetchall()


def gaps(path: Path, device_id: str, window_unix_s: tuple[float, float]) -> list[Gap]:
    """Return the times of which a device kept nothing; raises `StoreError`."""
    query = (
        "SELECT since_unix_s, until_unix_s, samples, events, reason FROM gap WHERE device_id = ? "
        "AND until_unix_s >= ? AND since_unix_s <= ? ORDER BY since_unix_s"
    )
    with reading(path) as database:
        return [Gap(*row) for row in database.execute(query, (device_id, *window_unix_s))]


def as_objects(columns: Iterable[str], found: Iterable[rows.Row]) -> list[dict[str, object]]:
    """Return rows as JSON objects."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in found]
