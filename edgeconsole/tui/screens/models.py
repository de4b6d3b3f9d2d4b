"""The Models screen: what is in the fleet's stores, and on Enter one model with what a job found."""

from __future__ import annotations

from collections.abc import Sequence

from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.protocol.control import StoredModel
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.tui import actions, model_lines, report_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.model_lines import Row
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.listing import ListingScreen
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState


class ModelsScreen(ListingScreen[str]):
    """The models of the fleet, or of one device; a row's key is its bundle's digest."""

    kind = actions.MODELS

    def __init__(self, state: ConsoleState, service: ConsoleService, device_id: str = "") -> None:
        super().__init__(state, service.desk)
        self.device_id = device_id
        self._models = service.models
        self._said: Sequence[DeviceModels] | None = None
        self._rows: Sequence[Row] = ()

    async def ask(self) -> None:
        """Ask the devices."""
        ids = [self.device_id] if self.device_id else self.state.store.ids()
        self._said = await self._models.look(ids)
        self._rows = model_lines.rows(self._said)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the table."""
        if self._said is None:
            return None
        wall, glyphs = self.state.frame.wall, self.state.glyphs
        return model_lines.lines(
            self._said, self._rows, self.selected, wall, width=width, glyphs=glyphs
        )

    def keys(self) -> Sequence[str]:
        """Return which bundles the rows are."""
        return [row.bundle.digest for row in self._rows]

    def chosen(self) -> tuple[StoredModel, list[str]] | None:
        """Return the bundle under the cursor and the devices that have it."""
        for row in self._rows:
            if row.bundle.digest == self.selected:
                return row.bundle, row.active or row.stored
        return None

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device = [fmt.cut(fmt.escape(self.device_id), 40)] if self.device_id else []
        return ["fleet", *device, "models"], []


class ModelScreen(AskingScreen):
    """One model: who runs what of it, and what the newest job found."""

    kind = actions.MODEL

    def __init__(
        self, state: ConsoleState, service: ConsoleService, model: str, device_id: str = ""
    ) -> None:
        super().__init__(state, service.desk)
        self.model = model
        self.device_id = device_id
        self._service = service
        self._said: Sequence[DeviceModels] | None = None
        self._found: tuple[Job, OptimizationReport | None] | None = None
        self._found_on = ""

    async def ask(self) -> None:
        """Ask the devices, and for the newest report if it is another than the one at hand."""
        ids = [self.device_id] if self.device_id else self.state.store.ids()
        self._said = await self._service.models.look(ids)
        newest = model_lines.newest(self._said, self.model)
        if newest is None:
            return
        device_id, finding = newest
        at_hand = self._found is not None and self._found[0].job_id == finding.job_id
        if not at_hand or self._found_on != device_id:
            self._found = await self._service.jobs.report(device_id, finding.job_id)
            self._found_on = device_id

    def chosen(self) -> tuple[str, list[str]]:
        """Return the model and the devices on which it answers, or that at least have it."""
        have = {
            each.device_id: any(
                bundle.active for bundle in each.models if bundle.model == self.model
            )
            for each in self._said or ()
            if any(bundle.model == self.model for bundle in each.models)
        }
        return self.model, [name for name, runs in have.items() if runs] or list(have)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return who runs what, then the report."""
        if self._said is None:
            return None
        shown = model_lines.devices_of(self._said, self.model, width)
        job, report = self._found or (None, None)
        if job is None or report is None:
            return [*shown, (), ((" no job has measured it so far; O orders one", "muted"),)]
        by: Line = (
            (f" {fmt.escape(job.job_id)}", "strong"),
            (f" on {fmt.escape(self._found_on)}", "text"),
            (self._when(job), "muted"),
        )
        return [*shown, (), by, *report_lines.found(report, width, self.state.glyphs)]

    def _when(self, job: Job) -> str:
        ended = job.ended_unix_s
        wall = self.state.frame.wall
        return "" if ended is None else f", {fmt.time_of_day(ended, wall)} by its clock"

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device = [fmt.cut(fmt.escape(self.device_id), 30)] if self.device_id else []
        return ["fleet", *device, "models", fmt.cut(fmt.escape(self.model), 30)], []
