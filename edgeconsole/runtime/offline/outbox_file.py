"""`OutboxFile`: the open `outbox.db`: transactions, what went wrong, and how large it is.

Blocking, and used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edgeconsole.errors import StoreError
from edgeconsole.runtime.offline.tables import PAGE_BYTES, is_damage, open_or_replace


class OutboxFile:
    """The file. All methods raise `StoreError` where SQLite refuses."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None

    def open(self) -> str:
        """Open it, or a new one in its place; returns what was wrong with the old one, if anything."""
        self.close()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database, said = open_or_replace(self.path, self._max_bytes)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be used: {error.strerror}") from error
        return said

    def close(self) -> None:
        """Close it."""
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def used_bytes(self) -> int:
        """Return how much of the file is in use."""
        return (self.pragma("page_count") - self.free_pages) * PAGE_BYTES

    @property
    def free_pages(self) -> int:
        """Return how many pages of the file wait to be used again."""
        return self.pragma("freelist_count")

    def pragma(self, name: str) -> int:
        """Return a number that SQLite knows of the file."""
        with self.reading() as database:
            return int(database.execute(f"PRAGMA {name}").fetchone()[0])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do something as a whole or not at all."""
        with self.reading() as database:
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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Do something outside a transaction."""
        if self._database is None:
            raise StoreError(f"{self.path}: is not open")
        try:
            yield self._database
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error


def damaged(error: StoreError) -> bool:
    """Say whether it must be opened anew: the file itself is unusable."""
    return isinstance(error.__cause__, sqlite3.Error) and is_damage(error.__cause__)


def is_full(error: StoreError) -> bool:
    """Say whether the disk, or the file's own bound, has no room."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_FULL
