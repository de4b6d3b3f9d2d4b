"""A button of a dialog: a painted label that can have the focus and be clicked."""

from __future__ import annotations

from textual import events

from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line
from edgeconsole.tui.widgets.painted import Lines


class Choice(Lines, can_focus=True):
    """One button; a click does what its action does."""

    def __init__(self, glyphs: Glyphs, label: str, action_id: str, *, id: str) -> None:  # noqa: A002
        super().__init__(glyphs, id=id)
        self._label = label
        self._action_id = action_id

    def on_mount(self) -> None:
        """Show the label."""
        self._paint(focused=False)

    def on_focus(self) -> None:
        """Show that it has the keyboard."""
        self._paint(focused=True)

    def on_blur(self) -> None:
        """Show that it has it no more."""
        self._paint(focused=False)

    def _paint(self, *, focused: bool) -> None:
        role = "badge" if focused else "text"
        line: Line = ((f"  {self._label}  ", role),)
        self.show([line])

    def on_click(self, event: events.Click) -> None:
        """Let the app do it, as a key would."""
        event.stop()
        self.app.call_later(self.app.run_action, f"act({self._action_id!r})")
