"""The dialog that confirms what is done about a job."""

from __future__ import annotations

from uuid import uuid4

from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.orders import Intent
from edgeconsole.tui import format as fmt
from edgeconsole.tui import job_acts
from edgeconsole.tui.job_acts import JobRequest
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.dialog import Dialog, Given
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines


class JobConfirmScreen(Dialog):
    """Asks whether it is meant."""

    def __init__(self, state: ConsoleState, request: JobRequest) -> None:
        title = job_acts.TITLES[request.act]
        super().__init__(state, title, leave="Leave it", yes="does it")
        self.request = request

    def draw(self) -> None:
        """Show what would happen, and the command as one would type it."""
        width = self.text_width
        view = self.state.store.device(self.request.device_id)
        self.query_one("#confirm-what", Lines).show(job_acts.what(self.request, view, width))
        line = fmt.escape(self.request.line)
        form: list[Line] = [(), ((fmt.cut(line, width), "accent"),)]
        self.query_one("#confirm-form", Lines).show(form)

    def give(self) -> Given:
        """Return the order for what was asked about."""
        view = self.state.store.device(self.request.device_id)
        task = job_acts.task(self.request, view)
        return Intent.of(task, uuid4().hex, actor()), (self.request.device_id,)
