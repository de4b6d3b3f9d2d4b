"""Line 1 of every screen: the fleet's condition, the clock, and whether the view is paused."""

from __future__ import annotations

from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.summary import health_line
from edgeconsole.tui.widgets.painted import Lines


class HealthBar(Lines):
    """The fleet in one line."""

    def draw(self, state: ConsoleState, width: int) -> None:
        """Show the state's frame."""
        self.show([health_line(state.frame, width, self.glyphs, state.paused_s)])
