"""A history of the version before rollups: all of its rows are taken over, and counted."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from edgeconsole.fleet import database, past, upkeep
from edgeconsole.fleet.history import History
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.past import Resolution
from edgeconsole.specs import RetentionConfig

VERSION_2 = """
CREATE TABLE sample (
    device_id TEXT NOT NULL, time_unix_s REAL NOT NULL, boot_id TEXT NOT NULL, seq INTEGER NOT NULL,
    state TEXT NOT NULL, model TEXT, version TEXT, variant TEXT, deadline_ms REAL, p50_ms REAL,
    p95_ms REAL, p99_ms REAL, rate_per_s REAL NOT NULL, requests_total INTEGER NOT NULL,
    answered_total INTEGER NOT NULL, refused_total INTEGER NOT NULL, failed_total INTEGER NOT NULL,
    late_total INTEGER NOT NULL, temp_c REAL, temp_quality TEXT NOT NULL, power_w REAL,
    power_quality TEXT NOT NULL, cpu_percent REAL, memory_percent REAL,
    PRIMARY KEY (device_id, time_unix_s)
) WITHOUT ROWID;
CREATE TABLE event (
    device_id TEXT NOT NULL, boot_id TEXT NOT NULL, seq INTEGER NOT NULL, time_unix_s REAL NOT NULL,
    severity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (device_id, boot_id, seq)
) WITHOUT ROWID;
CREATE TABLE audit (
    place INTEGER PRIMARY KEY AUTOINCREMENT, time_unix_s REAL NOT NULL, actor TEXT NOT NULL,
    device_id TEXT NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL, hold_s REAL,
    command_id TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
);
PRAGMA user_version=2;
"""
HOURS = 3


def old_history(path: Path, start: float) -> None:
    """Write a history as version 2 did: three hours of one device, an event, an audit row."""
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_2)
    with connection:
        connection.executemany(
            "INSERT INTO sample VALUES ('a', ?, 'boot-1', ?, 'ready', 'digits', '1', 'fp32', 50.0, "
            "1.0, 2.0, 3.0, 4.0, ?, ?, 0, 0, 0, 50.0, 'measured', NULL, 'unknown', 10.0, 20.0)",
            [(start + n, n, n * 4, n * 4) for n in range(HOURS * 3600)],
        )
        connection.execute(
            "INSERT INTO event VALUES ('a', 'boot-1', 1, ?, 'info', 'kind', 'é')", (start,)
        )
        connection.execute(
            "INSERT INTO audit VALUES (1, 1.0, 'kim', 'a', ':x', 'r', NULL, 'c', 'queued', '')"
        )
    connection.close()


async def test_nothing_is_lost_and_all_is_counted(tmp_path: Path) -> None:
    """Old samples stay until their minutes and hours are made, also those past the new limit."""
    path = tmp_path / "history.db"
    now = time.time()
    start = (now - 20 * 86400) // 3600 * 3600
    old_history(path, start)
    history = History(path)
    await history.open()
    assert await history.rows() == HOURS * 3600
    (point,) = await history.recent_points("a", 0.5, start, 0.0)
    assert (point.key, point.rss_bytes) == ("digits/1/fp32", None)
    assert [event.message for event in await history.recent_events("a", 9)] == ["é"]
    assert len(OrderBook(path).audit(9)) == 1
    keep = RetentionConfig()
    upkeep.prune(path, keep, now)
    assert await history.rows() == HOURS * 3600
    await history.sum_up()
    minutes = past.table(path, "a", (0.0, 1e11), Resolution.MINUTE)[1]
    assert len(minutes) == HOURS * 60
    assert [row[1] for row in past.table(path, "a", (0.0, 1e11), Resolution.HOUR)[1]] == [3600] * 3
    upkeep.prune(path, keep, now)
    assert await history.rows() == 0
    assert len(past.table(path, "a", (0.0, 1e11), Resolution.MINUTE)[1]) == HOURS * 60
    await history.close()


def test_opening_twice_counts_once(tmp_path: Path) -> None:
    """What was counted is not counted again at the next start."""
    path = tmp_path / "history.db"
    old_history(path, 1_750_000_000.0 // 3600 * 3600)
    database.make(path)
    while upkeep.count_old_samples(path):
        pass
    database.make(path)
    assert not upkeep.count_old_samples(path)


async def test_a_history_without_thermal_transitions_is_taken_over(tmp_path: Path) -> None:
    """Tables of version 3 keep their rows and get the new one; minutes made once are not made again."""
    path = tmp_path / "history.db"
    old_history(path, 1_750_000_000.0 // 3600 * 3600)
    database.make(path)
    while upkeep.count_old_samples(path):
        pass
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE thermal_transition; PRAGMA user_version=3;")
    connection.close()
    database.make(path)
    assert not upkeep.count_old_samples(path)
    history = History(path)
    await history.open()
    assert await history.thermal_transitions("a", 9) == []
    assert [event.message for event in await history.recent_events("a", 9)] == ["é"]
    assert await history.rows() == HOURS * 3600
    await history.close()


def test_a_history_has_one_name_for_devices(tmp_path: Path) -> None:
    """Whoever opens it asks devices under the same name."""
    from edgeconsole.fleet import late

    path = tmp_path / "history.db"
    database.make(path)
    name = late.sink_id(path)
    database.make(path)
    assert late.sink_id(path) == name
    assert len(name) == 32
