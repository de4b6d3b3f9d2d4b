"""The Jobs screen: the fleet's optimisation jobs, and on Enter what one of them found."""

from __future__ import annotations

from collections.abc import Sequence

from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.tui import actions, job_lines, report_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.job_lines import JobKey
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.listing import ListingScreen
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState


class JobsScreen(ListingScreen[JobKey]):
    """The jobs of the fleet, or of one device."""

    kind = actions.JOBS

    def __init__(self, state: ConsoleState, service: ConsoleService, device_id: str = "") -> None:
        super().__init__(state, service.desk)
        self.device_id = device_id
        self._jobs = service.jobs
        self._said: Sequence[DeviceJobs] | None = None

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

    def keys(self) -> Sequence[JobKey]:
        """Return which jobs the rows are."""
        return job_lines.keys(self._said or ())

    def chosen(self) -> tuple[str, Job, str] | None:
        """Return the job under the cursor with its device, and why that cannot be asked."""
        for each in self._said or ():
            for job in each.jobs:
                if (each.device_id, job.job_id) == self.selected:
                    return each.device_id, job, each.note
        return None

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
        return report_lines.lines(*self._found, self.state.frame.wall, width, self.state.glyphs)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        device, job = (fmt.cut(fmt.escape(each), 30) for each in self.key)
        return ["fleet", device, "jobs", job], []
