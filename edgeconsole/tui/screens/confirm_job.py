"""The dialog that confirms what is done about a job; Cancel has the focus, as in the other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen

from edgeconsole.tui import actions, job_acts
from edgeconsole.tui import format as fmt
from edgeconsole.tui.job_acts import JobRequest
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.choice import Choice
from edgeconsole.tui.widgets.painted import Lines, put_away

_WIDTH: Final = 86


class JobConfirmScreen(ModalScreen[JobRequest | None]):
    """Asks whether it is meant; `None`: it is not."""

    kind = actions.CONFIRM

    def __init__(self, state: ConsoleState, request: JobRequest) -> None:
        super().__init__()
        self.state = state
        self.request = request
        self._given = False

    def compose(self) -> ComposeResult:
        """Make the text and the two buttons."""
        glyphs = self.state.glyphs
        with VerticalScroll(id="confirm-body"):
            yield Lines(glyphs, id="confirm-what")
            yield Lines(glyphs, id="confirm-form")
            yield Lines(glyphs, id="confirm-wrong")
            with Horizontal(id="confirm-choices"):
                yield Choice(glyphs, "Leave it", "cancel", id="cancel")
                yield Choice(glyphs, job_acts.TITLES[self.request.act], "confirm", id="give")

    def on_mount(self) -> None:
        """Title the box, give the harmless button the keyboard, and draw."""
        body = self.query_one("#confirm-body", VerticalScroll)
        body.border_title = job_acts.TITLES[self.request.act]
        body.border_subtitle = "Tab moves   Y does it   Esc leaves it"
        self.set_focus(self.query_one("#cancel"), scroll_visible=False)
        self._say("")
        self.on_resize()

    def on_resize(self) -> None:
        """Fit the text to the width."""
        width = min(_WIDTH, self.app.size.width - 2) - 7
        view = self.state.store.device(self.request.device_id)
        self.query_one("#confirm-what", Lines).show(job_acts.what(self.request, view, width))
        line = fmt.escape(self.request.line)
        form: list[Line] = [(), ((fmt.cut(line, width), "accent"),)]
        self.query_one("#confirm-form", Lines).show(form)

    def _say(self, text: str) -> None:
        wrong = self.query_one("#confirm-wrong", Lines)
        put_away(wrong, away=not text)
        wrong.show([((text, "warn"),)] if text else [])

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        return {
            "cancel": self._cancel,
            "confirm": self._confirm,
            "press": self._press,
            "next": self._move,
            "previous": self._move,
        }

    def _move(self) -> None:
        """Go to the other of the two buttons."""
        other = "#give" if self._on("cancel") else "#cancel"
        self.set_focus(self.query_one(other))

    def _on(self, name: str) -> bool:
        return self.focused is not None and self.focused.id == name

    def _press(self) -> None:
        if self._on("give"):
            self._confirm()
        else:
            self._cancel()

    def _cancel(self) -> None:
        self.state.guard.changed()
        self.dismiss(None)

    def _confirm(self) -> None:
        """Do it once, unless the key for it was typed before the dialog could be seen."""
        if not self.state.guard.settled:
            self._say("that key came before this could be read; nothing was done")
        elif not self._given:
            self._given = True
            self.state.guard.changed()
            self.dismiss(self.request)
