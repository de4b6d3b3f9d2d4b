"""The tables of `history.db`, and how the file is opened: one place for all that write into it.

Several programs may have it open at once (consoles and verbs): WAL, short transactions, and a
writer that finds it locked waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from edgeconsole.errors import StoreError

SCHEMA_VERSION: Final = 3
"""2: transitions, orders and the audit. 3: orders with a task."""
BUSY_S: Final = 5.0

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
"""


def make(path: Path) -> None:
    """Make the database file and its tables, if they are not there.

    Raises:
        StoreError: it cannot be used, or a newer program wrote it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error
    with closing(database):
        try:
            _prepare(database, path)
        except sqlite3.Error as error:
            raise StoreError(
                f"{path}: is not a usable history: {error}",
                hint="move it away; a new one is made",
            ) from error


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA journal_mode=WAL")
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: was written by a newer EdgeConsole (version {found} of its tables)",
            hint="update EdgeConsole, or use another history file",
        )
    database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
    if all(row[1] != "task" for row in database.execute("PRAGMA table_info(device_order)")):
        database.execute("ALTER TABLE device_order ADD COLUMN task TEXT NOT NULL DEFAULT ''")
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    database.execute("COMMIT")


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction that is on disk, power cut or not, once it is over.

    Raises:
        StoreError: the database refused; nothing of the transaction is kept.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous=FULL")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database to read from it; raises `StoreError`."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as database:
            yield database
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
