"""How `history.db` is opened: one place for all that write into it; its tables are in `schema`.

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
from edgeconsole.fleet.schema import SCHEMA_VERSION, migrate

BUSY_S: Final = 5.0


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
    migrate(database, found)


@contextmanager
def transaction(path: Path, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction; if `durable`, on disk, power cut or not, once it is over.

    Raises:
        StoreError: the database refused; nothing of the transaction is kept.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as database:
            database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
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
