"""The history's upkeep: hours and fleet lines from minutes, what is too old removed.

Blocking: called in a thread, a bounded piece of work at a time, each in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from edgeconsole.fleet import rows
from edgeconsole.fleet.database import transaction
from edgeconsole.fleet.late import recount
from edgeconsole.fleet.schema import FLEET_COLUMNS
from edgeconsole.protocol.rollups import HOUR_S, MINUTE_S, Rollup, merge
from edgeconsole.specs import RetentionConfig

HOURS_AT_ONCE: Final = 200
MINUTES_AT_ONCE: Final = 60
SETTLE_S: Final = 90.0
"""So long after its end a minute or an hour is summed up: devices' clocks differ, some are late."""
_DELETE_AT_ONCE: Final = 20_000
_DEVICES: Final = """
WITH RECURSIVE device (id) AS (
    SELECT min(device_id) FROM sample
    UNION ALL SELECT (SELECT min(device_id) FROM sample WHERE device_id > id) FROM device
    WHERE id IS NOT NULL
) SELECT id FROM device WHERE id IS NOT NULL
"""
"""The devices that have samples, by as many looks into the index."""


def sum_up(path: Path, fleet: str, device_ids: Collection[str], now_unix_s: float) -> bool:
    """Sum up some of the hours and fleet minutes that changed; says whether there is more to do.

    Raises:
        StoreError: the database refused.
    """
    return _hours(path, now_unix_s) | _fleet_minutes(path, fleet, device_ids, now_unix_s)


def _hours(path: Path, now_unix_s: float) -> bool:
    with transaction(path, durable=False) as database:
        old = database.execute(
            "SELECT device_id, start_unix_s FROM old_hour WHERE start_unix_s <= ? LIMIT ?",
            (now_unix_s - HOUR_S - SETTLE_S, HOURS_AT_ONCE),
        ).fetchall()
        for device_id, start in old:
            minutes = database.execute(
                f"{rows.SELECT_ROLLUP} m1 WHERE device_id = ? AND start_unix_s >= ? "
                "AND start_unix_s < ?",
                (device_id, start, start + HOUR_S),
            ).fetchall()
            hour = merge(rollup for _, rollup in map(rows.rollup_in, minutes))
            if hour.samples:
                database.execute(rows.PUT_HOUR, rows.rollup_row(device_id, start, hour))
        database.executemany("DELETE FROM old_hour WHERE device_id = ? AND start_unix_s = ?", old)
    return len(old) == HOURS_AT_ONCE


def _fleet_minutes(path: Path, fleet: str, device_ids: Collection[str], now_unix_s: float) -> bool:
    known = set(device_ids)
    columns = ("fleet", "start_unix_s", *FLEET_COLUMNS)
    marks = ",".join("?" * len(columns))
    put = f"INSERT OR REPLACE INTO fleet_m1 ({','.join(columns)}) VALUES ({marks})"  # noqa: S608
    with transaction(path, durable=False) as database:
        old = database.execute(
            "SELECT start_unix_s FROM old_fleet_minute WHERE start_unix_s <= ? "
            "ORDER BY start_unix_s LIMIT ?",
            (now_unix_s - MINUTE_S - SETTLE_S, MINUTES_AT_ONCE),
        ).fetchall()
        for (start,) in old:
            found = database.execute(
                f"SELECT device_id, {rows.SELECT_ROLLUP.removeprefix('SELECT ')} m1 "
                "WHERE start_unix_s = ?",
                (start,),
            ).fetchall()
            devices = [rows.rollup_in(row[1:])[1] for row in found if row[0] in known]
            if devices:
                database.execute(put, (fleet, start, *fleet_line(devices)))
        database.executemany("DELETE FROM old_fleet_minute WHERE start_unix_s = ?", old)
    return len(old) == MINUTES_AT_ONCE


def fleet_line(devices: Collection[Rollup]) -> rows.Row:
    """Return the row of a fleet's minute: sums, and the highest of what has limits."""
    power = [each.power_w for each in devices if each.power_w is not None]
    return (
        len(devices),
        sum(each.samples for each in devices),
        max((each.p99_high_ms for each in devices if each.p99_high_ms is not None), default=None),
        round(sum(each.rate_per_s or 0.0 for each in devices), 3),
        max((each.temp_high_c for each in devices if each.temp_high_c is not None), default=None),
        round(sum(power), 3) if power else None,
        len(power),
        sum(each.requests for each in devices),
        sum(each.answered for each in devices),
        sum(each.refused for each in devices),
        sum(each.failed for each in devices),
        sum(each.late for each in devices),
        sum(each.degraded for each in devices),
    )


def count_old_samples(path: Path) -> bool:
    """Make the minutes of one hour that an earlier version wrote; says whether there is more to do.

    Raises:
        StoreError: the database refused.
    """
    with transaction(path, durable=False) as database:
        row = database.execute(
            "SELECT device_id, start_unix_s FROM uncounted_hour LIMIT 1"
        ).fetchone()
        if row is None:
            return False
        device_id, start = row
        minutes = database.execute(
            "SELECT DISTINCT CAST(time_unix_s / 60 AS INTEGER) * 60 FROM sample "
            "WHERE device_id = ? AND time_unix_s >= ? AND time_unix_s < ?",
            (device_id, start, start + HOUR_S),
        ).fetchall()
        recount(database, device_id, [minute for (minute,) in minutes])
        database.execute("DELETE FROM uncounted_hour WHERE device_id = ? AND start_unix_s = ?", row)
    return True


def prune(path: Path, keep: RetentionConfig, now_unix_s: float) -> bool:
    """Remove some of what is too old; says whether there is more to do. The audit is never pruned.

    Samples go only once their minutes are counted.

    Raises:
        StoreError: the database refused.
    """
    limits = (
        ("m1", "start_unix_s", keep.minute_days * 86_400),
        ("h1", "start_unix_s", keep.hour_days * 86_400),
        ("fleet_m1", "start_unix_s", keep.minute_days * 86_400),
        ("event", "time_unix_s", keep.event_days * 86_400),
        ("transition", "time_unix_s", keep.event_days * 86_400),
        ("thermal_transition", "time_unix_s", keep.event_days * 86_400),
        ("alert", "until_unix_s", keep.event_days * 86_400),
        ("gap", "until_unix_s", keep.hour_days * 86_400),
    )
    with transaction(path, durable=False) as database:
        for table, column, keep_s in limits:
            database.execute(
                f"DELETE FROM {table} WHERE {column} < ?",  # noqa: S608
                (now_unix_s - keep_s,),
            )
        if database.execute("SELECT 1 FROM uncounted_hour LIMIT 1").fetchone():
            return False
        gone = 0
        for (device_id,) in database.execute(_DEVICES).fetchall():
            cursor = database.execute(
                "DELETE FROM sample WHERE device_id = ? AND time_unix_s IN (SELECT time_unix_s "
                "FROM sample WHERE device_id = ? AND time_unix_s < ? LIMIT ?)",
                (device_id, device_id, now_unix_s - keep.raw_hours * 3600, _DELETE_AT_ONCE - gone),
            )
            gone += cursor.rowcount
            if gone >= _DELETE_AT_ONCE:
                return True
    return False
