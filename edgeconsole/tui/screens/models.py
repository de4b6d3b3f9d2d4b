"""The Models screen: what is in the fleet's stores, and on Enter one model with what a job found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.tui import actions, model_acts, model_lines, report_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.model_acts import ModelAct, ModelRequest
from edgeconsole.tui.model_lines import Row
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.screens.listing import ListingScreen
from edgeconsole.tui.screens.scrolling import ScrollingScreen
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState


class BundlesScreen(ListingScreen[str]):
    """Bundles of the fleet, or of one device; a row's key is its bundle's digest."""

    def __init__(self, state: ConsoleState, service: ConsoleService, device_id: str) -> None:
        super().__init__(state, service.desk)
        self.device_id = device_id
        self._models = service.models
        self._said: Sequence[DeviceModels] | None = None
        self._rows: Sequence[Row] = ()

    async def ask(self) -> None:
        """Ask the devices."""
        ids = [self.device_id] if self.device_id else self.state.store.ids()
        self._said = await self._models.look(ids)
        self._rows = [row for row in model_lines.rows(self._said) if self.has(row)]

    def has(self, row: Row) -> bool:
        """Say whether a row is one of this screen's."""
        return bool(row.stored)

    def keys(self) -> Sequence[str]:
        """Return which bundles the rows are."""
        return [row.bundle.digest for row in self._rows]

    def chosen(self) -> Row | None:
        """Return the bundle under the cursor, wherever it is."""
        selected = self.selected
        return next((row for row in self._rows if row.bundle.digest == selected), None)

    def asked_for(self, act: ModelAct) -> ModelRequest | str:
        """Return what a key asks for, or why there is nothing to do; empty: there is no bundle."""
        row = self.chosen()
        return "" if row is None else model_acts.ask(act, row, self._said or (), self._rows)


class ModelsScreen(BundlesScreen):
    """All models."""

    kind = actions.MODELS

    def __init__(self, state: ConsoleState, service: ConsoleService, device_id: str = "") -> None:
        super().__init__(state, service, device_id)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the table."""
        if self._said is None:
            return None
        wall, glyphs = self.state.frame.wall, self.state.glyphs
        return model_lines.lines(
            self._said, self._rows, self.selected, wall, width=width, glyphs=glyphs
        )

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device = [fmt.cut(fmt.escape(self.device_id), 40)] if self.device_id else []
        return ["fleet", *device, "models"], []


class ModelScreen(BundlesScreen):
    """One model: its bundles, who runs what of it, and what the newest job found."""

    kind = actions.MODEL

    def __init__(
        self, state: ConsoleState, service: ConsoleService, row: Row, device_id: str = ""
    ) -> None:
        """Make it, with the cursor on the bundle that it was opened from."""
        super().__init__(state, service, device_id)
        self.model = row.bundle.model
        self._selected = row.bundle.digest
        self._jobs = service.jobs
        self._found: tuple[Job, OptimizationReport | None] | None = None
        self._found_on = ""

    async def ask(self) -> None:
        """Ask the devices, and for the newest report if it is another than the one at hand."""
        await super().ask()
        newest = model_lines.newest(self._said or (), self.model)
        if newest is None:
            return
        device_id, finding = newest
        at_hand = self._found is not None and self._found[0].job_id == finding.job_id
        if not at_hand or self._found_on != device_id:
            self._found = await self._jobs.report(device_id, finding.job_id)
            self._found_on = device_id

    def has(self, row: Row) -> bool:
        """Say whether a row is one of this model's."""
        return row.bundle.model == self.model

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here: the cursor moves over the bundles, below them the text scrolls."""
        return {
            **super().handlers(),
            **ScrollingScreen.handlers(self),
            "down": self._down,
            "up": self._up,
        }

    def _down(self) -> None:
        keys = self.keys()
        if not keys or self.selected == keys[-1]:
            self.body.scroll_relative(y=1, animate=False)
        else:
            self._move(1)

    def _up(self) -> None:
        if self.body.scroll_y > len(self.keys()):
            self.body.scroll_relative(y=-1, animate=False)
        else:
            self._move(-1)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the bundles, who runs what, then the report."""
        if self._said is None:
            return None
        glyphs, devices = self.state.glyphs, len(self._said)
        table = model_lines.bundles(self._rows, devices, self.selected, width=width, glyphs=glyphs)
        shown = [*table, (), *model_lines.devices_of(self._said, self.model, width)]
        job, report = self._found or (None, None)
        if job is None or report is None:
            return [*shown, (), ((" no job has measured it so far; O orders one", "muted"),)]
        by: Line = (
            (f" {fmt.escape(job.job_id)}", "strong"),
            (f" on {fmt.escape(self._found_on)}", "text"),
            (self._when(job), "muted"),
        )
        return [*shown, (), by, *report_lines.found(report, width, glyphs)]

    def _when(self, job: Job) -> str:
        ended = job.ended_unix_s
        wall = self.state.frame.wall
        return "" if ended is None else f", {fmt.time_of_day(ended, wall)} by its clock"

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device = [fmt.cut(fmt.escape(self.device_id), 30)] if self.device_id else []
        return ["fleet", *device, "models", fmt.cut(fmt.escape(self.model), 30)], []
