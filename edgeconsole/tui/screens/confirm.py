"""The dialog that confirms an order: what will happen where, why, for how long.

Cancel has the focus, and nothing is given before the dialog could be seen: what was typed ahead of
it leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import uuid4

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from edgeconsole.durations import duration_text
from edgeconsole.errors import ConfigError
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import Blast, Effort, blast
from edgeconsole.fleet.orders import (
    DEFAULT_HOLD_S,
    MOST_REASON,
    NO_REASON,
    QUEUE_S,
    Intent,
    line_of,
    parse_hold,
)
from edgeconsole.tui import actions, confirm_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.order_words import OrderRequest
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.choice import Choice
from edgeconsole.tui.widgets.painted import Lines, put_away
from edgeconsole.tui.widgets.prompt import PromptInput

Given = tuple[Intent, tuple[str, ...]]
"""The order, and the devices it is for."""
_WIDTH: Final = 86


class ConfirmScreen(ModalScreen[Given | None]):
    """Asks whether an order is meant; `None`: it is not."""

    kind = actions.CONFIRM

    def __init__(self, state: ConsoleState, request: OrderRequest) -> None:
        super().__init__()
        self.state = state
        self.request = request
        self._given = False
        self._complained_of: list[str] = []
        self._blast = self._look()

    def _look(self) -> Blast:
        """Judge the order by what is known now, also while the view is paused."""
        store = self.state.store
        found = [store.device(name) for name in self.request.devices]
        targets = [view for view in found if view is not None]
        return blast(self.request.kind, self.request.model, targets, store.devices())

    def compose(self) -> ComposeResult:
        """Make the text, the fields and the two buttons."""
        glyphs, request = self.state.glyphs, self.request
        with VerticalScroll(id="confirm-body"):
            yield Lines(glyphs, id="confirm-what")
            yield from self._field("reason", request.reason)
            if request.kind.forces is not None:
                yield from self._field("for", duration_text(request.hold_s or DEFAULT_HOLD_S))
            if self._blast.effort is Effort.NUMBER:
                yield from self._field("number", "")
            yield Lines(glyphs, id="confirm-form")
            yield Lines(glyphs, id="confirm-wrong")
            with Horizontal(id="confirm-choices"):
                yield Choice(glyphs, "Cancel", "cancel", id="cancel")
                yield Choice(glyphs, confirm_lines.TITLES[request.kind], "confirm", id="give")

    def _field(self, name: str, text: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Lines(self.state.glyphs, id=f"label-{name}")
            field = PromptInput(
                text, compact=True, select_on_focus=False, id=name, max_length=MOST_REASON
            )
            field.cursor_blink = False
            yield field

    def on_mount(self) -> None:
        """Title the box, give Cancel the keyboard, and draw."""
        body = self.query_one("#confirm-body", VerticalScroll)
        body.border_title = confirm_lines.TITLES[self.request.kind]
        body.border_subtitle = "Tab moves   Y gives the order   Esc leaves it"
        self.set_focus(self.query_one("#cancel"), scroll_visible=False)
        self._say("")
        self.draw()

    def on_resize(self) -> None:
        """Fit the text to the width."""
        self.draw()

    # What it shows.

    def draw(self) -> None:
        """Show the order as it stands now."""
        if not self.query("#confirm-form"):
            return  # The dialog is being taken down; a tick came between.
        width = min(_WIDTH, self.app.size.width - 2) - 7
        seen = self._look()
        hold_s = self._hold_s()
        queue_s = QUEUE_S if hold_s is None else min(QUEUE_S, hold_s)
        what = confirm_lines.what(
            seen,
            self.request.model,
            queue_s,
            width,
            glyphs=self.state.glyphs,
            hidden=self._hidden(),
        )
        self.query_one("#confirm-what", Lines).show([*what, ()])
        needs_reason = self._blast.effort is not Effort.KEY
        labels = {
            "reason": "reason" if needs_reason else "reason, if any",
            "for": f"for, {self._until(hold_s)}",
            "number": f"type {len(self._blast.devices)} to confirm",
        }
        for name, label in labels.items():
            for found in self.query(f"#label-{name}").results(Lines):
                found.show([((label, "muted"),)])
        line = line_of(
            self.request.kind,
            list(self.request.devices),
            model=self.request.model,
            hold_s=hold_s,
            reason=self._text("reason"),
        )
        self.query_one("#confirm-form", Lines).show([(), *confirm_lines.form(line, width)])

    def _hidden(self) -> int:
        """Return how many of several devices the filter keeps out of sight."""
        if len(self.request.devices) == 1:
            return 0
        shown = {view.id for view in self.state.rows()}
        return sum(name not in shown for name in self.request.devices)

    def _until(self, hold_s: float | None) -> str:
        if hold_s is None:
            return "like 30m or 2h"
        now_unix_s = self.state.wall_clock().timestamp()
        return f"until {fmt.time_of_day(now_unix_s + hold_s, self.state.wall_clock())}"

    def _say(self, text: str) -> None:
        self._complained_of = self._texts()
        wrong = self.query_one("#confirm-wrong", Lines)
        put_away(wrong, away=not text)
        wrong.show([((text, "warn"),)] if text else [])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the written form follow what is typed."""
        event.stop()
        if self._texts() != self._complained_of:
            self._say("")
        self.draw()

    # What is typed into it.

    def _text(self, name: str) -> str:
        fields = self.query(f"#{name}").results(PromptInput)
        return next((field.value.strip() for field in fields), "")

    def _texts(self) -> list[str]:
        return [field.value for field in self.query(PromptInput)]

    def _hold_s(self) -> float | None:
        """Return the time limit; `None` where it is not one, or none is needed."""
        try:
            return parse_hold(self._text("for"))
        except ConfigError:
            return None

    # What keys do.

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
        fields: Sequence[Widget] = [*self.query(PromptInput)]
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
        """Give the order, unless the key for it was typed before the dialog could be seen."""
        if not self.state.guard.settled:
            self._say("that key came before this could be read; nothing was done")
            return
        # Letters typed before the key may still be on their way through the fields.
        self._after(list(self.query(PromptInput)), self._give)

    def _after(self, fields: Sequence[Widget], then: Callable[[], None]) -> None:
        if fields:
            fields[0].call_later(self._after, fields[1:], then)
        else:
            then()

    def _give(self) -> None:
        if self._given:
            return
        name, wrong = confirm_lines.missing(self._blast, self._text("reason"), self._text("number"))
        hold_s: float | None = None
        if not wrong and self.request.kind.forces is not None:
            try:
                hold_s = parse_hold(self._text("for"))
            except ConfigError as error:
                name, wrong = "for", str(error)
        if wrong:
            self.set_focus(self.query_one(f"#{name}"))
            self._say(wrong)
            return
        self._given = True
        intent = Intent(
            command_id=uuid4().hex,
            kind=self.request.kind,
            actor=actor(),
            model=self.request.model,
            reason=self._text("reason") or NO_REASON,
        )
        self.state.guard.changed()
        self.dismiss((replace(intent, hold_s=hold_s), self._blast.devices))
