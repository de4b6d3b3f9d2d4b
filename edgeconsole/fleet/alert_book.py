"""The alerts in the history: one open row a device and kind, whoever of several consoles noticed it.

Blocking: called in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.fleet.alerts import AlertKind, Change
from edgeconsole.fleet.database import reading, transaction
from edgeconsole.protocol.telemetry import Severity

_KINDS: Final = frozenset(kind.value for kind in AlertKind)
"""A newer console may have written others."""


class AlertRow(msgspec.Struct, frozen=True):
    """One alert; `until_unix_s` is `None` while it goes on."""

    device_id: str
    kind: AlertKind
    severity: Severity
    since_unix_s: float
    until_unix_s: float | None
    detail: str


class AlertBook:
    """Reads and writes alerts; all methods raise `StoreError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, changes: Sequence[Change], now_unix_s: float) -> list[Change]:
        """Write what began and what ended; returns what no other console had written before."""
        new: list[Change] = []
        with transaction(self.path, durable=False) as database:
            for change in changes:
                if change.firing:
                    cursor = database.execute(
                        "INSERT OR IGNORE INTO alert (device_id, kind, severity, since_unix_s, detail) "
                        "VALUES (?, ?, ?, ?, ?)",
                        (
                            change.device_id,
                            change.kind.value,
                            change.severity.value,
                            now_unix_s,
                            change.detail,
                        ),
                    )
                else:
                    cursor = database.execute(
                        "UPDATE alert SET until_unix_s = ? WHERE device_id = ? AND kind = ? "
                        "AND until_unix_s IS NULL",
                        (now_unix_s, change.device_id, change.kind.value),
                    )
                if cursor.rowcount:
                    new.append(change)
        return new

    def looked(self, now_unix_s: float) -> None:
        """Note that a console looks for alerts."""
        with transaction(self.path, durable=False) as database:
            database.execute(
                "INSERT OR REPLACE INTO own VALUES ('looked_for_alerts_unix_s', ?)",
                (repr(now_unix_s),),
            )

    def looked_unix_s(self) -> float | None:
        """Return when a console looked for alerts last; `None`: none ever did."""
        with reading(self.path) as database:
            row = database.execute(
                "SELECT value FROM own WHERE name = 'looked_for_alerts_unix_s'"
            ).fetchone()
        return None if row is None else float(row[0])

    def rows(self, limit: int, *, only_open: bool) -> list[AlertRow]:
        """Return alerts, those that go on first, then the newest first."""
        with reading(self.path) as database:
            found = database.execute(
                "SELECT device_id, kind, severity, since_unix_s, until_unix_s, detail FROM alert "
                "WHERE until_unix_s IS NULL OR NOT ? "
                "ORDER BY until_unix_s IS NOT NULL, since_unix_s DESC LIMIT ?",
                (only_open, limit),
            ).fetchall()
        return [
            AlertRow(row[0], AlertKind(row[1]), Severity(row[2]), *row[3:])
            for row in found
            if row[1] in _KINDS
        ]
