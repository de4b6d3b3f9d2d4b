"""The dialog that confirms an order: what will happen where, why, for how long."""

from __future__ import annotations

from uuid import uuid4

from msgspec.structs import replace
from textual.app import ComposeResult

from edgeconsole.durations import duration_text
from edgeconsole.errors import ConfigError
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import Blast, blast
from edgeconsole.fleet.orders import (
    DEFAULT_HOLD_S,
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
from edgeconsole.tui.screens.dialog import Given
from edgeconsole.tui.screens.reasoned import ReasonedDialog
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines


class ConfirmScreen(ReasonedDialog):
    """Asks whether an order is meant."""

    def __init__(self, state: ConsoleState, request: OrderRequest) -> None:
        super().__init__(
            state,
            confirm_lines.TITLES[request.kind],
            yes="gives the order",
            reach=_look(state, request, request.kind),
            reason=request.reason,
        )
        self.request = request

    @property
    def _asks_state(self) -> bool:
        """Whether the thermal state is one of the fields."""
        return self.request.kind in THERMAL_KINDS and self.request.kind.lasts

    def first_fields(self) -> ComposeResult:
        """Make the thermal state where one is asked for."""
        if self._asks_state:
            yield from self.field("state", self.request.kind.value.split()[1])

    def more_fields(self) -> ComposeResult:
        """Make the time limit where something is forced."""
        if self.request.kind.lasts:
            yield from self.field("for", duration_text(self.request.hold_s or DEFAULT_HOLD_S))

    # What it shows.

    def draw(self) -> None:
        """Show the order as it stands now."""
        width = self.text_width
        kind = self._kind_now()
        seen = _look(self.state, self.request, kind)
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
        until = f"for, {self._until(hold_s)}" if kind.lasts else "no time: it ends at once"
        self.name_fields(**{"state": "state", "for": until})
        line = line_of(
            kind,
            list(self.request.devices),
            model=self.request.model,
            hold_s=hold_s,
            reason=self.text_of("reason"),
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

    # What is typed into it.

    def _kind_now(self) -> OrderKind:
        """Return what would be ordered; what was asked for, where the field does not say a state."""
        try:
            return thermal_kind(self.text_of("state")) if self._asks_state else self.request.kind
        except CommandError:
            return self.request.kind

    def _hold_s(self) -> float | None:
        """Return the time limit; `None` where it is not one, or none is needed."""
        try:
            return parse_hold(self.text_of("for"))
        except ConfigError:
            return None

    def give(self) -> Given | None:
        """Return the order; what is missing is said, and its field gets the keyboard."""
        name, wrong = self.missing()
        kind, hold_s = self._kind_now(), None
        if not wrong and self._asks_state:
            try:
                kind = thermal_kind(self.text_of("state"))
            except CommandError as error:
                name, wrong = "state", str(error)
        if not wrong and kind.lasts:
            try:
                hold_s = parse_hold(self.text_of("for"))
            except ConfigError as error:
                name, wrong = "for", str(error)
        if wrong:
            self.refuse(name, wrong)
            return None
        intent = Intent(
            command_id=uuid4().hex,
            kind=kind,
            actor=actor(),
            model=self.request.model,
            reason=self.text_of("reason") or NO_REASON,
        )
        return replace(intent, hold_s=hold_s), self.reach.devices


def _look(state: ConsoleState, request: OrderRequest, kind: OrderKind) -> Blast:
    """Judge the order by what is known now, also while the view is paused."""
    found = [state.store.device(name) for name in request.devices]
    targets = [view for view in found if view is not None]
    return blast(kind, request.model, targets, state.store.devices())
