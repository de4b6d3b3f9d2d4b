"""The audit as text. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from edgeconsole.fleet.order_book import AuditRow
from edgeconsole.fleet.orders import Outcome
from edgeconsole.tui import format as fmt
from edgeconsole.tui.runs import Line, Run, crop
from edgeconsole.tui.tabular import Head, table

MOST_ROWS: Final = 300
"""The screen lists no more than this; `edgeconsole audit` prints all."""
OUTCOME_ROLES: Final = {
    Outcome.QUEUED: "stale",
    Outcome.SENT: "muted",
    Outcome.ACKNOWLEDGED: "text",
    Outcome.REFUSED: "crit",
    Outcome.EXPIRED: "warn",
}
_HEADS: Final = (
    Head("time", 1, right=False, most=12),
    Head("device", 1, right=False, most=20),
    Head("outcome", 1, right=False, most=12),
    Head("who", 3, right=False, most=18),
    Head("order", 2, right=False, most=70),
)


def lines(rows: Sequence[AuditRow], wall: datetime, width: int) -> list[Line]:
    """Return the table of rows, newest first."""
    if not rows:
        return [(), ((" nothing was ordered so far", "muted"),)]
    header, *body = table(_HEADS, [_cells(row, wall) for row in rows], width - 2)
    shown: list[Line] = [((" ", "text"), *header)]
    for row, line in zip(rows, body, strict=True):
        shown.append(((" ", "text"), *line))
        if row.detail:
            detail = (fmt.escape(row.detail), OUTCOME_ROLES[row.outcome])
            shown.append((("            ", "text"), detail))
    return [crop(line, width) for line in shown]


def _cells(row: AuditRow, wall: datetime) -> list[Run]:
    return [
        (fmt.time_of_day(row.time_unix_s, wall), "muted"),
        (fmt.escape(row.device_id), "strong"),
        (row.outcome.value, OUTCOME_ROLES[row.outcome]),
        (fmt.escape(row.actor), "muted"),
        (fmt.escape(row.line), "text"),
    ]
