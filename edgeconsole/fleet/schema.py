"""The tables of `history.db`, and how those of an earlier version are taken over. No rows are lost."""

from __future__ import annotations

import sqlite3
from typing import Final
from uuid import uuid4

from edgeconsole.protocol.rollups import Rollup

SCHEMA_VERSION: Final = 4
"""2: transitions, orders and the audit. 3: rollups, gaps, alerts, cursors in the backlogs of devices, orders with a task.
4: thermal transitions, orders that force a thermal state."""
_ROLLUPS_SINCE: Final = 3
_ADDED: Final = (
    ("sample", "degraded_total", "INTEGER NOT NULL DEFAULT 0"),
    ("sample", "rss_bytes", "INTEGER"),
    ("device_order", "task", "TEXT NOT NULL DEFAULT ''"),
)
"""Columns that tables of earlier versions lack."""

ROLLUP_COLUMNS: Final = Rollup.__struct_fields__
FLEET_COLUMNS: Final = (
    *("devices", "samples", "p99_high_ms", "rate_per_s", "temp_high_c", "power_w", "power_known"),
    *("requests", "answered", "refused", "failed", "late", "degraded"),
)


def _table_of_rollups(name: str) -> str:
    columns = ", ".join(f"{column} REAL" for column in ROLLUP_COLUMNS)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} (device_id TEXT NOT NULL, start_unix_s INTEGER NOT NULL, "
        f"{columns}, PRIMARY KEY (device_id, start_unix_s)) WITHOUT ROWID;\n"
        f"CREATE INDEX IF NOT EXISTS {name}_by_time ON {name} (start_unix_s);\n"
    )


SCHEMA: Final = f"""
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
    degraded_total INTEGER NOT NULL DEFAULT 0,
    rss_bytes INTEGER,
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
CREATE TABLE IF NOT EXISTS transition (
    device_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time_unix_s REAL NOT NULL,
    model TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (device_id, boot_id, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transition_by_time ON transition (device_id, time_unix_s);
CREATE TABLE IF NOT EXISTS thermal_transition (
    device_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time_unix_s REAL NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (device_id, boot_id, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS thermal_transition_by_time
ON thermal_transition (device_id, time_unix_s);
CREATE TABLE IF NOT EXISTS device_order (
    place INTEGER PRIMARY KEY,
    command_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    url TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    issued_unix_s REAL NOT NULL,
    hold_s REAL,
    send_before_unix_s REAL NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_until_unix_s REAL NOT NULL,
    task TEXT NOT NULL DEFAULT '',
    UNIQUE (command_id, device_id)
);
CREATE INDEX IF NOT EXISTS order_by_state ON device_order (state, device_id, place);
CREATE TABLE IF NOT EXISTS audit (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    time_unix_s REAL NOT NULL,
    actor TEXT NOT NULL,
    device_id TEXT NOT NULL,
    line TEXT NOT NULL,
    reason TEXT NOT NULL,
    hold_s REAL,
    command_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS audit_keeps_rows BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows are never removed'); END;
CREATE TRIGGER IF NOT EXISTS audit_keeps_words BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END;
CREATE TABLE IF NOT EXISTS own (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor (
    device_id TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alert (
    place INTEGER PRIMARY KEY,
    device_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    since_unix_s REAL NOT NULL,
    until_unix_s REAL,
    detail TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_open_alert ON alert (device_id, kind)
WHERE until_unix_s IS NULL;
CREATE TABLE IF NOT EXISTS gap (
    device_id TEXT NOT NULL,
    since_unix_s REAL NOT NULL,
    until_unix_s REAL NOT NULL,
    samples INTEGER NOT NULL,
    events INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (device_id, since_unix_s)
) WITHOUT ROWID;
{_table_of_rollups("m1")}{_table_of_rollups("h1")}
CREATE TABLE IF NOT EXISTS fleet_m1 (
    fleet TEXT NOT NULL,
    start_unix_s INTEGER NOT NULL,
    {", ".join(f"{column} REAL" for column in FLEET_COLUMNS)},
    PRIMARY KEY (fleet, start_unix_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS old_hour (
    device_id TEXT NOT NULL, start_unix_s INTEGER NOT NULL, PRIMARY KEY (start_unix_s, device_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS old_fleet_minute (start_unix_s INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS uncounted_hour (
    device_id TEXT NOT NULL, start_unix_s INTEGER NOT NULL, PRIMARY KEY (start_unix_s, device_id)
) WITHOUT ROWID;
"""


def migrate(database: sqlite3.Connection, found: int) -> None:
    """Bring tables of version `found` to the present one, in one transaction; raises sqlite3's errors."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for table, column, kind in _ADDED:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if columns and column not in columns:
                database.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        for statement in _statements():
            database.execute(statement)
        database.execute("INSERT OR IGNORE INTO own VALUES ('sink_id', ?)", (uuid4().hex,))
        if found < _ROLLUPS_SINCE:
            # Samples of versions without rollups are counted bit by bit, by the upkeep.
            database.execute(
                "INSERT OR IGNORE INTO uncounted_hour SELECT DISTINCT device_id, "
                "CAST(time_unix_s / 3600 AS INTEGER) * 3600 FROM sample"
            )
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _statements() -> list[str]:
    """Return the statements one by one; the triggers hold a semicolon inside."""
    found: list[str] = []
    rest = ""
    for part in SCHEMA.split(";"):
        rest += part + ";"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
