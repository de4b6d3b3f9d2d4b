"""The dialog that confirms what is done about a stored bundle."""

from __future__ import annotations

from uuid import uuid4

from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import Blast, blast
from edgeconsole.fleet.orders import NO_REASON
from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui import format as fmt
from edgeconsole.tui import model_acts
from edgeconsole.tui.model_acts import ModelRequest
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.dialog import Given
from edgeconsole.tui.screens.reasoned import ReasonedDialog
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines


class ModelConfirmScreen(ReasonedDialog):
    """Asks whether it is meant."""

    def __init__(self, state: ConsoleState, request: ModelRequest) -> None:
        super().__init__(
            state,
            model_acts.TITLES[request.act],
            yes="does it",
            reach=_look(state, request),
        )
        self.request = request

    def draw(self) -> None:
        """Show what would happen where, and the command as one would type it."""
        width, request = self.text_width, self.request
        reach = _look(self.state, request)
        what = model_acts.what(request, reach, self._views(), width)
        self.query_one("#confirm-what", Lines).show([*what, ()])
        self.name_fields()
        form: list[Line] = [(), ((fmt.cut(fmt.escape(request.line), width), "accent"),)]
        more = len(request.devices) - 1
        if more:
            form.append(((f"and on {more:,} more device{'' if more == 1 else 's'}", "muted"),))
        self.query_one("#confirm-form", Lines).show(form)

    def _views(self) -> list[DeviceView]:
        return _views(self.state, self.request)

    def give(self) -> Given | None:
        """Return the order; what is missing is said, and its field gets the keyboard."""
        name, wrong = self.missing()
        if wrong:
            self.refuse(name, wrong)
            return None
        reason = self.text_of("reason") or NO_REASON
        by = (uuid4().hex, actor())
        made = model_acts.intent(self.request, self._views(), by, reason)
        return made, self.request.devices


def _views(state: ConsoleState, request: ModelRequest) -> list[DeviceView]:
    found = [state.store.device(name) for name in request.devices]
    return [view for view in found if view is not None]


def _look(state: ConsoleState, request: ModelRequest) -> Blast:
    kind, model = model_acts.KINDS[request.act], request.row.bundle.model
    return blast(kind, model, _views(state, request), state.store.devices())
