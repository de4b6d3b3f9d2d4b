"""The Jobs screen: the fleet's optimisation jobs, and on Enter what one of them found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.geometry import Region

from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.tui import actions, job_lines, report_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.job_lines import JobKey
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState


class JobsScreen(AskingScreen):
    """The jobs of the fleet, or of one device."""

    kind = actions.JOBS

    def __init__(self, state: ConsoleState, service: ConsoleService, device_id: str = "") -> None:
        super().__init__(state, service.desk)
        self.device_id = device_id
        self._jobs = service.jobs
        self._said: Sequence[DeviceJobs] | None = None
        self._selected: JobKey | None = None
        self._place = 0

    async def ask(self) -> None:
        """Ask the devices."""
        self._said = await self._jobs.look(
            [self.device_id] if self.device_id else self.state.store.ids()
        )

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the table."""
        if self._said is None:
            return None
        wall, glyphs = self.state.frame.wall, self.state.glyphs
        return job_lines.lines(self._said, self.selected, wall, width, glyphs)

    @property
    def selected(self) -> JobKey | None:
        """The job under the cursor; it stays there while others come and go."""
        keys = job_lines.keys(self._said or ())
        if self._selected in keys:
            self._place = keys.index(self._selected)
        elif keys:
            self._place = min(self._place, len(keys) - 1)
            self._selected = keys[self._place]
        else:
            self._selected = None
        return self._selected

    def chosen(self) -> tuple[str, Job, str] | None:
        """Return the job under the cursor with its device, and why that cannot be asked."""
        for each in self._said or ():
            for job in each.jobs:
                if (each.device_id, job.job_id) == self.selected:
                    return each.device_id, job, each.note
        return None

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here: they move a cursor instead of the text."""
        page = max(1, self.body.size.height - 2)
        steps = {
            "down": 1,
            "up": -1,
            "top": -len(job_lines.keys(self._said or ())),
            "bottom": len(job_lines.keys(self._said or ())),
            "page_down": page,
            "page_up": -page,
        }

        def mover(step: int) -> Handler:
            return lambda: self._move(step)

        return {**super().handlers(), **{name: mover(step) for name, step in steps.items()}}

    def _move(self, step: int) -> None:
        keys = job_lines.keys(self._said or ())
        if self.selected is None:
            return
        self._place = max(0, min(len(keys) - 1, self._place + step))
        self._selected = keys[self._place]
        self.draw()
        # The header stays in sight above the first job.
        line = self._place + 1 if self._place else 0
        self.body.scroll_to_region(Region(0, line, 1, 1), animate=False)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device = [fmt.cut(fmt.escape(self.device_id), 40)] if self.device_id else []
        return ["fleet", *device, "jobs"], []


class JobScreen(AskingScreen):
    """One job, and its report once it has one."""

    kind = actions.JOB

    def __init__(self, state: ConsoleState, service: ConsoleService, key: JobKey) -> None:
        super().__init__(state, service.desk)
        self.key = key
        self._jobs = service.jobs
        self._found: tuple[Job, OptimizationReport | None] | None = None

    @property
    def job(self) -> Job | None:
        """The job as it was last heard of."""
        return None if self._found is None else self._found[0]

    def chosen(self) -> tuple[str, Job, str] | None:
        """Return the job with its device, and why that cannot be asked."""
        return None if self.job is None else (self.key[0], self.job, self._wrong)

    async def ask(self) -> None:
        """Ask the device, until nothing more comes."""
        if self.job is None or not self.job.state.final:
            self._found = await self._jobs.report(*self.key)

    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the job and its report."""
        if self._found is None:
            return None
        return report_lines.lines(*self._found, self.state.frame.wall, width)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device, job = (fmt.cut(fmt.escape(each), 30) for each in self.key)
        return ["fleet", device, "jobs", job], []
