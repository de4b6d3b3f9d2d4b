"""The dialog that confirms an order: what will happen where, why, for how long."""

from __future__ import annotations

from uuid import uuid4

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.containers import Horizontal
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
    THERMAL_KINDS,
    Intent,
    OrderKind,
    line_of,
    parse_hold,
)
from edgeconsole.tui import confirm_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.command_error import CommandError
from edgeconsole.tui.order_words import STATES, OrderRequest, thermal_kind
from edgeconsole.tui.screens.dialog import Dialog, Given
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines
from edgeconsole.tui.widgets.prompt import PromptInput


class ConfirmScreen(Dialog):
    """Asks whether an order is meant."""

    def __init__(self, state: ConsoleState, request: OrderRequest) -> None:
        title = confirm_lines.TITLES[request.kind]
        super().__init__(state, title, leave="Cancel", yes="gives the order")
        self.request = request
        self._complained_of: list[str] = []
        self._blast = self._look(request.kind)

    def _look(self, kind: OrderKind) -> Blast:
        """Judge the order by what is known now, also while the view is paused."""
        store = self.state.store
        found = [store.device(name) for name in self.request.devices]
        targets = [view for view in found if view is not None]
        return blast(kind, self.request.model, targets, store.devices())

    @property
    def _asks_state(self) -> bool:
        """Whether the thermal state is one of the fields."""
        return self.request.kind in THERMAL_KINDS and self.request.kind.lasts

    def fields(self) -> ComposeResult:
        """Make state, reason, time limit and number, where they are needed."""
        request = self.request
        if self._asks_state:
            yield from self._field("state", request.kind.value.split()[1])
        yield from self._field("reason", request.reason)
        if request.kind.lasts:
            yield from self._field("for", duration_text(request.hold_s or DEFAULT_HOLD_S))
        if self._blast.effort is Effort.NUMBER:
            yield from self._field("number", "")

    def _field(self, name: str, text: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Lines(self.state.glyphs, id=f"label-{name}")
            field = PromptInput(
                text, compact=True, select_on_focus=False, id=name, max_length=MOST_REASON
            )
            field.cursor_blink = False
            yield field

    # What it shows.

    def draw(self) -> None:
        """Show the order as it stands now."""
        width = self.text_width
        kind = self._kind_now()
        seen = self._look(kind)
        hold_s = self._hold_s() if kind.lasts else None
        queue_s = QUEUE_S if hold_s is None else min(QUEUE_S, hold_s)
        what = confirm_lines.what(
            seen,
            self.request.model,
            queue_s,
            width,
            glyphs=self.state.glyphs,
            hidden=self._hidden(),
        )
        if self._asks_state:
            states = f"States: {', '.join(STATES[:-1])}; {STATES[-1]} ends what is forced."
            what.append(((states, "muted"),))
        self.query_one("#confirm-what", Lines).show([*what, ()])
        needs_reason = self._blast.effort is not Effort.KEY
        labels = {
            "state": "state",
            "reason": "reason" if needs_reason else "reason, if any",
            "for": f"for, {self._until(hold_s)}" if kind.lasts else "no time: it ends at once",
            "number": f"type {len(self._blast.devices)} to confirm",
        }
        for name, label in labels.items():
            for found in self.query(f"#label-{name}").results(Lines):
                found.show([((label, "muted"),)])
        line = line_of(
            kind,
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

    def say(self, text: str) -> None:
        """Say what is wrong, until the fields change."""
        self._complained_of = self._texts()
        super().say(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the written form follow what is typed."""
        event.stop()
        if self._texts() != self._complained_of:
            self.say("")
        self.redraw()

    # What is typed into it.

    def _text(self, name: str) -> str:
        fields = self.query(f"#{name}").results(PromptInput)
        return next((field.value.strip() for field in fields), "")

    def _texts(self) -> list[str]:
        return [field.value for field in self.query(PromptInput)]

    def _kind_now(self) -> OrderKind:
        """Return what would be ordered; what was asked for, where the field does not say a state."""
        try:
            return thermal_kind(self._text("state")) if self._asks_state else self.request.kind
        except CommandError:
            return self.request.kind

    def _hold_s(self) -> float | None:
        """Return the time limit; `None` where it is not one, or none is needed."""
        try:
            return parse_hold(self._text("for"))
        except ConfigError:
            return None

    def give(self) -> Given | None:
        """Return the order; what is missing is said, and its field gets the keyboard."""
        name, wrong = confirm_lines.missing(self._blast, self._text("reason"), self._text("number"))
        kind, hold_s = self._kind_now(), None
        if not wrong and self._asks_state:
            try:
                kind = thermal_kind(self._text("state"))
            except CommandError as error:
                name, wrong = "state", str(error)
        if not wrong and kind.lasts:
            try:
                hold_s = parse_hold(self._text("for"))
            except ConfigError as error:
                name, wrong = "for", str(error)
        if wrong:
            self.set_focus(self.query_one(f"#{name}"))
            self.say(wrong)
            return None
        intent = Intent(
            command_id=uuid4().hex,
            kind=kind,
            actor=actor(),
            model=self.request.model,
            reason=self._text("reason") or NO_REASON,
        )
        return replace(intent, hold_s=hold_s), self._blast.devices
