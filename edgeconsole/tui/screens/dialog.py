"""`Dialog`: what every question before a change has in common.

The harmless button has the focus, and nothing is given before the dialog could be seen: what was
typed ahead of it leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget

from edgeconsole.fleet.orders import Intent
from edgeconsole.tui import actions
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.choice import Choice
from edgeconsole.tui.widgets.painted import Lines, put_away
from edgeconsole.tui.widgets.prompt import PromptInput

_WIDTH: Final = 86

Given = tuple[Intent, tuple[str, ...]]
"""An order, and the devices it is for."""


class Dialog(ModalScreen[Given | None]):
    """Asks whether something is meant; `None`: it is not."""

    kind = actions.CONFIRM

    def __init__(self, state: ConsoleState, title: str, *, leave: str, yes: str) -> None:
        super().__init__()
        self.state = state
        self._question = title
        self._leave = leave
        self._yes = yes
        self._given = False

    # What a dialog says itself.

    def fields(self) -> ComposeResult:
        """Make what can be typed into it."""
        yield from ()

    def draw(self) -> None:
        """Show what would happen, as it stands now, in `text_width` columns."""
        raise NotImplementedError

    def give(self) -> Given | None:
        """Return what was meant; `None` if something is wrong, which `say` has said."""
        raise NotImplementedError

    # What they share.

    def compose(self) -> ComposeResult:
        """Make the text, the fields and the two buttons."""
        glyphs = self.state.glyphs
        with VerticalScroll(id="confirm-body"):
            yield Lines(glyphs, id="confirm-what")
            yield from self.fields()
            yield Lines(glyphs, id="confirm-form")
            yield Lines(glyphs, id="confirm-wrong")
            with Horizontal(id="confirm-choices"):
                yield Choice(glyphs, self._leave, "cancel", id="cancel")
                yield Choice(glyphs, self._question, "confirm", id="give")

    def on_mount(self) -> None:
        """Title the box, give the harmless button the keyboard, and draw."""
        body = self.query_one("#confirm-body", VerticalScroll)
        body.border_title = self._question
        body.border_subtitle = f"Tab moves   Y {self._yes}   Esc leaves it"
        self.set_focus(self.query_one("#cancel"), scroll_visible=False)
        self.say("")
        self.redraw()

    def on_resize(self) -> None:
        """Fit the text to the width."""
        self.redraw()

    def redraw(self) -> None:
        """Show the question as it stands now."""
        if self.query("#confirm-form"):  # Else it is being taken down; a tick came between.
            self.draw()

    @property
    def text_width(self) -> int:
        """Return how many columns its text has."""
        return min(_WIDTH, self.app.size.width - 2) - 7

    def say(self, text: str) -> None:
        """Say what is wrong; nothing, if it is empty."""
        wrong = self.query_one("#confirm-wrong", Lines)
        put_away(wrong, away=not text)
        wrong.show([((text, "warn"),)] if text else [])

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        return {
            "cancel": self._cancel,
            "confirm": self._confirm,
            "press": self._press,
            "next": lambda: self._move(1),
            "previous": lambda: self._move(-1),
        }

    def _stops(self) -> list[Widget]:
        fields = [each for each in self.query(PromptInput) if _is_shown(each)]
        return [self.query_one("#cancel"), *fields, self.query_one("#give")]

    def _move(self, step: int) -> None:
        stops = self._stops()
        here = stops.index(self.focused) if self.focused in stops else 0
        self.set_focus(stops[(here + step) % len(stops)])

    def _press(self) -> None:
        focused = self.focused
        if focused is not None and focused.id == "give":
            self._confirm()
        elif isinstance(focused, PromptInput):
            self._move(1)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self.state.guard.changed()
        self.dismiss(None)

    def _confirm(self) -> None:
        """Do it once, unless the key for it was typed before the dialog could be seen."""
        if not self.state.guard.settled:
            self.say("that key came before this could be read; nothing was done")
            return
        # Letters typed before the key may still be on their way through the fields.
        self._after(list(self.query(PromptInput)), self._finish)

    def _after(self, fields: Sequence[Widget], then: Callable[[], None]) -> None:
        if fields:
            fields[0].call_later(self._after, fields[1:], then)
        else:
            then()

    def _finish(self) -> None:
        if self._given:
            return
        given = self.give()
        if given is not None:
            self._given = True
            self.state.guard.changed()
            self.dismiss(given)


def _is_shown(widget: Widget) -> bool:
    return not any(each.has_class("-away") for each in widget.ancestors_with_self)
