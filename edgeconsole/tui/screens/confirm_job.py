"""The dialog that confirms what is done about a job."""

from __future__ import annotations

from edgeconsole.tui import format as fmt
from edgeconsole.tui import job_acts
from edgeconsole.tui.job_acts import JobRequest
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.dialog import Dialog
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines


class JobConfirmScreen(Dialog[JobRequest]):
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

    def give(self) -> JobRequest:
        """Return what was asked about."""
        return self.request
