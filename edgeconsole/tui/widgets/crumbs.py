"""The crumb line: where one is, what is filtered, how it is sorted. A crumb can be clicked."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from edgeconsole.tui.format import width_of
from edgeconsole.tui.runs import Line, join, spread
from edgeconsole.tui.widgets.painted import Lines


class Crumbs(Lines):
    """The path to this screen at the left, its settings behind, the rate at the right."""

    _back_width = 0

    def draw(self, path: Sequence[str], notes: Sequence[Line], right: Line, width: int) -> None:
        """Show a path, of which all but the last lead back."""
        crumbs: list[tuple[str, str]] = [(" ", "text")]
        for place, name in enumerate(path):
            last = place == len(path) - 1
            crumbs.append((name, "accent" if last else "muted"))
            if not last:
                crumbs.append((" › ", "faint"))
        self._back_width = 1 + width_of(path[0]) if len(path) > 1 else 0
        line = spread(join([tuple(crumbs), *notes], "   "), (*right, (" ", "text")), width)
        self.show([line])

    def on_click(self, event: events.Click) -> None:
        """Go back when the crumb of an earlier screen is clicked.

        The app does it, in its own time: waiting here for this very screen to go would never end.
        """
        if event.x < self._back_width:
            self.app.call_later(self.app.run_action, "act('back')")
