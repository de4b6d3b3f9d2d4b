"""The optimise form: what is to be measured where, checked as it is typed, with its plan."""

from __future__ import annotations

from uuid import uuid4

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widgets import Input

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import Blast, Effort, blast
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.fleet.orders import MOST_REASON, NO_REASON, QUEUE_S, Intent, OrderKind
from edgeconsole.tui import confirm_lines, optimize_form
from edgeconsole.tui.command_error import CommandError
from edgeconsole.tui.optimize_form import Field
from edgeconsole.tui.optimize_words import OptimizeRequest
from edgeconsole.tui.screens.dialog import Dialog, Given
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines, put_away
from edgeconsole.tui.widgets.prompt import PromptInput

_NUMBER = Field("number", "number")


class OptimizeScreen(Dialog):
    """Asks what an optimisation should be, and whether it is meant."""

    def __init__(
        self, state: ConsoleState, service: ConsoleService, request: OptimizeRequest
    ) -> None:
        super().__init__(state, "Optimise", leave="Cancel", yes="orders it")
        self._service = service
        self._request = request
        self._stored: list[DeviceModels] = []
        self._waiting: list[DeviceJobs] | None = None
        self._asked_of: tuple[str, ...] = ()
        self._complained_of: dict[str, str] = {}

    def fields(self) -> ComposeResult:
        """Make the fields, two in a row."""
        values = optimize_form.values_of(self._request)
        for row in optimize_form.ROWS:
            with Horizontal(classes="field pair"):
                for each in row:
                    yield from self._field(each, values[each.name])
        with Horizontal(classes="field", id="number-row"):
            yield from self._field(_NUMBER, "")

    def _field(self, each: Field, text: str) -> ComposeResult:
        yield Lines(self.state.glyphs, id=f"label-{each.name}")
        line = PromptInput(
            text,
            compact=True,
            select_on_focus=False,
            id=each.name,
            max_length=MOST_REASON,
            suggester=SuggestFromList(each.choices) if each.choices else None,
        )
        line.cursor_blink = False
        yield line

    def on_mount(self) -> None:
        """Ask the devices what stands before the job there."""
        super().on_mount()
        self._look()

    # What it shows.

    def draw(self) -> None:
        """Show the plan and the order as they stand now; while something is wrong, what."""
        try:
            request = self._read()
        except CommandError as error:
            self._label(None)
            self.say(str(error))
            return
        if self._complained_of != self._values():
            self.say("")
        width, reach = self.text_width, self._reach(request)
        views = [each for name in request.devices if (each := self.state.store.device(name))]
        plan = optimize_form.what(
            request,
            reach,
            views,
            self._waiting if self._asked_of == request.devices else None,
            queue_s=QUEUE_S,
            width=width,
            glyphs=self.state.glyphs,
        )
        self.query_one("#confirm-what", Lines).show([*plan, ()])
        self._label(reach)
        line = optimize_form.form(request)
        self.query_one("#confirm-form", Lines).show([(), *confirm_lines.form(line, width)])

    def _label(self, reach: Blast | None) -> None:
        """Name the fields; without a `reach` nothing more is asked for."""
        needs_reason = reach is not None and reach.effort is not Effort.KEY
        count = 0 if reach is None else len(reach.devices)
        labels = {
            **{each.name: each.label for row in optimize_form.ROWS for each in row},
            "reason": "reason" if needs_reason else "reason, if any",
            "number": f"type {count} to confirm",
        }
        for name, label in labels.items():
            self.query_one(f"#label-{name}", Lines).show([((label, "muted"),)])
        needs_number = reach is not None and reach.effort is Effort.NUMBER
        put_away(self.query_one("#number-row"), away=not needs_number)

    def _reach(self, request: OptimizeRequest) -> Blast:
        store = self.state.store
        targets = [each for name in request.devices if (each := store.device(name))]
        return blast(OrderKind.OPTIMIZE, "", targets, store.devices())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the plan follow what is typed."""
        event.stop()
        self.redraw()
        self._look()

    # What it asks the devices.

    def _look(self) -> None:
        try:
            devices = self._read().devices
        except CommandError:
            return
        if devices != self._asked_of:
            self._asked_of, self._waiting, self._stored = devices, None, []
            self.run_worker(self._ask(devices), exclusive=True, exit_on_error=False)

    async def _ask(self, devices: tuple[str, ...]) -> None:
        waiting = await self._service.jobs.look(devices)
        stored = await self._service.models.look(devices)
        if devices == self._asked_of:
            self._waiting, self._stored = waiting, stored
            self.redraw()

    # What is typed into it.

    def _values(self) -> dict[str, str]:
        return {each.id or "": each.value for each in self.query(PromptInput)}

    def _read(self) -> OptimizeRequest:
        return optimize_form.read(self._values(), self.state.store.ids())

    def give(self) -> Given | None:
        """Return the order; what is wrong is said, and its field gets the keyboard."""
        try:
            request = self._read()
        except CommandError as error:
            self._refuse(optimize_form.field_of(error), error)
            return None
        values, reach = self._values(), self._reach(request)
        name, wrong = confirm_lines.missing(reach, request.reason, values["number"])
        if wrong:
            self._refuse(name, CommandError(wrong))
            return None
        task, wrong = optimize_form.task_for(request, self._stored)
        if task is None:
            self._refuse("model", CommandError(wrong))
            return None
        reason = request.reason or NO_REASON
        return Intent.of(task, uuid4().hex, actor(), reason), request.devices

    def _refuse(self, name: str, error: EdgeConsoleError) -> None:
        self.set_focus(self.query_one(f"#{name}"))
        self._complained_of = self._values()
        self.say(str(error))
