"""The tables of `outbox.db`, and how the file is opened: a damaged one is moved aside.

`ran_s` is the time that agents have run with this file, in seconds: ages are told by it, because the
wall clock of a device may jump by years when it hears of the network.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from edgeconsole.errors import StoreError

SCHEMA_VERSION: Final = 1
PAGE_BYTES: Final = 4096
_DAMAGED: Final = ".damaged"
_BESIDE: Final = ("", "-wal", "-shm")
# SQLite's primary result codes: https://sqlite.org/rescode.html
_UNREADABLE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS boot (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id TEXT NOT NULL UNIQUE,
    started_unix_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS block (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    boot INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    every INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    events INTEGER NOT NULL,
    since_unix_s REAL NOT NULL,
    ran_s REAL NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS block_by_end ON block (boot, last);
CREATE INDEX IF NOT EXISTS block_without_data ON block (place, every, samples, since_unix_s, ran_s);
CREATE TABLE IF NOT EXISTS sink (
    sink_id TEXT PRIMARY KEY,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    asked_unix_s REAL NOT NULL,
    asked_ran_s REAL NOT NULL
) WITHOUT ROWID;
"""


def open_or_replace(path: Path, budget_bytes: int) -> tuple[sqlite3.Connection, str]:
    """Open the database, or a new one if it is damaged; returns it and what was wrong with the old.

    Raises:
        StoreError: it cannot be opened, or a newer agent wrote it.
    """
    try:
        return _open(path, budget_bytes), ""
    except sqlite3.Error as error:
        if not is_damage(error):
            raise StoreError(f"{path}: cannot be opened: {error}") from error
        moved = _move_aside(path)
        said = f"{path} was damaged ({error}) and is now {moved.name}; a new one was begun"
    try:
        return _open(path, budget_bytes), said
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether the file itself is unusable, not only the disk or the moment."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _UNREADABLE


def _open(path: Path, budget_bytes: int) -> sqlite3.Connection:
    # One thread at a time uses it, not always the same.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute(f"PRAGMA page_size={PAGE_BYTES}")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=256")
        database.execute("PRAGMA journal_size_limit=1048576")
        _check(database, path)
        database.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        # What is above a budget that was lowered is thinned, but must not stop the start.
        database.execute(f"PRAGMA max_page_count={max(budget_bytes // PAGE_BYTES, pages + 64)}")
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: was written by a newer agent (version {version} of its tables)",
            hint="update the agent, or move the file away",
        )
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        damage = sqlite3.DatabaseError(str(found))
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage


def _move_aside(path: Path) -> Path:
    """Keep a damaged file, and only the latest, for whoever wants to look into it."""
    for old in path.parent.glob(f"{path.name}{_DAMAGED}*"):
        old.unlink(missing_ok=True)
    moved = path.with_name(f"{path.name}{_DAMAGED}-{time.time_ns() // 10**9}")
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(moved.with_name(moved.name + suffix))
    return moved
