"""The footer: the keys that matter here, as many as fit, the most important first."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from edgeconsole.tui.actions import KEY_NAMES, Action
from edgeconsole.tui.format import width_of
from edgeconsole.tui.widgets.painted import Lines


class Keys(Lines):
    """A line of keys; each can be clicked."""

    _places: tuple[tuple[int, int, str], ...] = ()

    def draw(self, actions: Sequence[Action], width: int) -> None:
        """Show the actions' keys and labels."""
        runs = [(" ", "text")]
        places = []
        x = 1
        for action in actions:
            key = KEY_NAMES.get(action.keys[0], action.keys[0])
            label = f" {action.label or action.title}"
            size = width_of(key) + width_of(label)
            if x + size + 1 > width:
                break
            runs += [(key, "key"), (label, "muted"), ("   ", "text")]
            places.append((x, x + size, action.id))
            x += size + 3
        self._places = tuple(places)
        self.show([tuple(runs)])

    def on_click(self, event: events.Click) -> None:
        """Let the app do what the key under the mouse does."""
        for start, end, action_id in self._places:
            if start <= event.x < end:
                self.app.call_later(self.app.run_action, f"act({action_id!r})")
                return
