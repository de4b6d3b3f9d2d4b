"""The queue of orders and the audit, in `history.db`: what was ordered is on disk before it is sent.

Any number of consoles and verbs share the book; an order is sent by the one that claims it, in one
transaction. A claim runs out, so that what a killed console left is sent by another: devices know
an order by its id and carry it out once. Each change of an order adds a row to the audit within the
same transaction; audit rows are never changed or removed.

Times are those of the wall clock, since programs and days lie between them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import StoreError
from edgeconsole.fleet.database import reading, transaction
from edgeconsole.fleet.orders import Lane, Order, Outcome, Standing
from edgeconsole.fleet.tasks import REPLY_S

LEASE_S: Final = 20.0
"""How long a claim holds for an order that is replied to at once."""
_ORDER: Final = (
    "command_id, device_id, url, kind, model, reason, actor, issued_unix_s, hold_s, "
    "send_before_unix_s, task"
)
_FIELDS: Final = len(Order.__struct_fields__)


def lease_s(order: Order) -> float:
    """Return how long a claim on an order holds: longer than the device may take to reply."""
    return LEASE_S - REPLY_S + order.reply_s


class AuditRow(msgspec.Struct, frozen=True):
    """One line of the audit: who, when, which device, what, and how far it had come."""

    place: int
    time_unix_s: float
    actor: str
    device_id: str
    line: str
    reason: str
    hold_s: float | None
    command_id: str
    outcome: Outcome
    detail: str


class OrderBook:
    """Orders and audit of one history file; `database.make` has made it.

    Methods block for as long as a disk does: on a loop they belong into a thread. All raise
    `StoreError` if the disk refuses, and then nothing has changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, orders: Sequence[Order], now_unix_s: float) -> None:
        """Queue orders, all or none; one that is there already stays as it is."""
        with transaction(self.path) as database:
            for order in orders:
                row = (*_row(order), Outcome.QUEUED.value, "", "", 0.0)
                added = database.execute(
                    f"INSERT OR IGNORE INTO device_order ({_ORDER}, state, detail, owner, "  # noqa: S608
                    f"lease_until_unix_s) VALUES ({','.join('?' * len(row))})",
                    row,
                )
                if added.rowcount:
                    _note(database, Standing(order, Outcome.QUEUED), now_unix_s)

    def claim(
        self, device_id: str, url: str, owner: str, now_unix_s: float, lane: Lane = Lane.LADDER
    ) -> Order | None:
        """Take the oldest order of a device's lane; `None`: there is none, or another has it.

        Orders of a lane go out one after the other, in the order they were given.
        """
        with transaction(self.path) as database:
            rows = database.execute(
                f"SELECT {_ORDER}, state, lease_until_unix_s FROM device_order "  # noqa: S608
                "WHERE state IN ('queued', 'sent') AND device_id = ? AND url = ? "
                "AND send_before_unix_s > ? ORDER BY place",
                (device_id, url, now_unix_s),
            )
            orders = ((_order(row[:_FIELDS]), *row[_FIELDS:]) for row in rows)
            found = next((each for each in orders if each[0].kind.lane is lane), None)
            if found is None:
                return None
            order: Order = found[0]
            state, lease_until_unix_s = found[1:]
            # One that ends later than any lease can was made by a clock that was ahead. Twice the
            # lease, since who waited for the database may be a little behind who had it.
            held = now_unix_s < lease_until_unix_s <= now_unix_s + 2 * lease_s(order)
            if state == Outcome.SENT and held:
                return None
            _move(database, Standing(order, Outcome.SENT), now_unix_s, owner=owner)
            return order

    def settle(self, standing: Standing, owner: str, now_unix_s: float) -> bool:
        """Record what became of an order that `owner` had claimed; queued: it waits again.

        Returns whether it was still the owner's to settle: a claim that ran out may be another's.
        """
        with transaction(self.path) as database:
            found = database.execute(
                "SELECT 1 FROM device_order WHERE command_id = ? AND device_id = ? "
                "AND state = 'sent' AND owner = ?",
                (standing.order.command_id, standing.order.device_id, owner),
            ).fetchone()
            if found is not None:
                _move(database, standing, now_unix_s)
            return found is not None

    def expire(self, now_unix_s: float) -> list[Order]:
        """Drop the orders whose time is over, and return them."""
        with transaction(self.path) as database:
            rows = database.execute(
                f"SELECT {_ORDER}, state FROM device_order "  # noqa: S608
                "WHERE state IN ('queued', 'sent') AND send_before_unix_s <= ? "
                "AND (state = 'queued' OR lease_until_unix_s <= ?) ORDER BY place",
                (now_unix_s, now_unix_s),
            ).fetchall()
            for row in rows:
                detail = (
                    "the device was not reached in time"
                    if row[_FIELDS] == Outcome.QUEUED
                    else "it was sent and no reply came: whether it arrived is unknown"
                )
                dropped = Standing(_order(row[:_FIELDS]), Outcome.EXPIRED, detail)
                _move(database, dropped, now_unix_s)
            return [_order(row[:_FIELDS]) for row in rows]

    def waiting(self) -> list[Standing]:
        """Return the orders that are not final, oldest first."""
        return self._standings("state IN ('queued', 'sent')", ())

    def standings(self, command_id: str) -> list[Standing]:
        """Return how far the orders of one intent have come."""
        return self._standings("command_id = ?", (command_id,))

    def audit(self, limit: int = 200, device_id: str = "") -> list[AuditRow]:
        """Return the latest rows of the audit, newest first; of one device, if it is named."""
        with reading(self.path) as database:
            rows = database.execute(
                "SELECT place, time_unix_s, actor, device_id, line, reason, hold_s, command_id, "
                "outcome, detail FROM audit WHERE ? IN ('', device_id) ORDER BY place DESC LIMIT ?",
                (device_id, limit),
            ).fetchall()
        names = AuditRow.__struct_fields__
        return [msgspec.convert(dict(zip(names, row, strict=True)), type=AuditRow) for row in rows]

    def _standings(self, condition: str, values: Sequence[object]) -> list[Standing]:
        with reading(self.path) as database:
            rows = database.execute(
                f"SELECT {_ORDER}, state, detail FROM device_order "  # noqa: S608
                f"WHERE {condition} ORDER BY place",
                values,
            ).fetchall()
        return [Standing(_order(row[:_FIELDS]), Outcome(row[-2]), row[-1]) for row in rows]


def _move(
    database: sqlite3.Connection, standing: Standing, now_unix_s: float, *, owner: str = ""
) -> None:
    """Bring an order to where it stands now, and add a row to the audit."""
    order, outcome = standing.order, standing.outcome
    lease_until_unix_s = now_unix_s + lease_s(order) if outcome is Outcome.SENT else 0.0
    database.execute(
        "UPDATE device_order SET state = ?, detail = ?, owner = ?, lease_until_unix_s = ? "
        "WHERE command_id = ? AND device_id = ?",
        (
            outcome.value,
            standing.detail,
            owner,
            lease_until_unix_s,
            order.command_id,
            order.device_id,
        ),
    )
    _note(database, standing, now_unix_s)


def _note(database: sqlite3.Connection, standing: Standing, now_unix_s: float) -> None:
    """Add a row to the audit."""
    order = standing.order
    database.execute(
        "INSERT INTO audit (time_unix_s, actor, device_id, line, reason, hold_s, command_id, "
        "outcome, detail) VALUES (?,?,?,?,?,?,?,?,?)",
        (
            now_unix_s,
            order.actor,
            order.device_id,
            order.line,
            order.reason,
            order.hold_s,
            order.command_id,
            standing.outcome.value,
            standing.detail,
        ),
    )


def _row(order: Order) -> tuple[str | float | None, ...]:
    return (
        order.command_id,
        order.device_id,
        order.url,
        order.kind.value,
        order.model,
        order.reason,
        order.actor,
        order.issued_unix_s,
        order.hold_s,
        order.send_before_unix_s,
        "" if order.task is None else msgspec.json.encode(order.task).decode(),
    )


def _order(row: Sequence[object]) -> Order:
    fields = dict(zip(Order.__struct_fields__, row, strict=True))
    try:
        fields["task"] = msgspec.json.decode(str(fields["task"])) if fields["task"] else None
        return msgspec.convert(fields, type=Order)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"an order in the history cannot be read: {error}",
            hint="was it written by a newer EdgeConsole?",
        ) from error
