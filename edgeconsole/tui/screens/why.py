"""The Why screen: what holds a device's rungs now, and each transition with its conditions."""

from __future__ import annotations

from collections.abc import Sequence

from edgeconsole.fleet.explanation import Explanation
from edgeconsole.tui import actions, why_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import OrderDesk
from edgeconsole.tui.state import ConsoleState


class WhyScreen(AskingScreen):
    """The decision trace of one device."""

    kind = actions.WHY

    def __init__(self, state: ConsoleState, desk: OrderDesk, device_id: str) -> None:
        super().__init__(state, desk)
        self.device_id = device_id
        self._said: Explanation | None = None

    async def ask(self) -> None:
        """Ask the device, or the history."""
        self._said = await self.desk.explain(self.device_id)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the trace."""
        if self._said is None:
            return None
        return why_lines.lines(self._said, self.state.frame.wall, width, self.state.glyphs)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        return ["fleet", fmt.cut(fmt.escape(self.device_id), 40), "why"], []
