"""The Audit screen: who ordered what of which device, and what became of it, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from edgeconsole.fleet.order_book import AuditRow
from edgeconsole.tui import actions, audit_lines
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import OrderDesk
from edgeconsole.tui.state import ConsoleState


class AuditScreen(AskingScreen):
    """The audit."""

    kind = actions.AUDIT

    def __init__(self, state: ConsoleState, desk: OrderDesk) -> None:
        super().__init__(state, desk)
        self._rows: Sequence[AuditRow] | None = None

    async def ask(self) -> None:
        """Read the latest rows."""
        self._rows = await self.desk.audit(audit_lines.MOST_ROWS)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the table."""
        if self._rows is None:
            return None
        return audit_lines.lines(self._rows, self.state.frame.wall, width)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        return ["fleet", "audit"], []
