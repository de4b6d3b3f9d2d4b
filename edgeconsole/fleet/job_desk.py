"""The optimisation jobs of a whole fleet, asked of the devices that are connected."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from edgeconsole.errors import ProtocolError
from edgeconsole.fleet import jobs
from edgeconsole.fleet.asking import Question
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.findings import FindingsDesk
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.protocol.optimization import OptimizationReport


class DeviceJobs(msgspec.Struct, frozen=True):
    """What one device said of its jobs, and when."""

    device_id: str
    jobs: tuple[Job, ...] = ()
    """Running, queued, then finished, newest first."""
    speedups: dict[str, float] = {}
    """What is recommended against the baseline, by job; where it is not in here it is unknown."""
    heard_unix_s: float | None = None
    """By our clock; `None`: it never said."""
    note: str = ""
    """Why it did not say so just now; empty: it did."""


class JobDesk:
    """Asks devices for their jobs over the links that are open."""

    def __init__(
        self,
        links: OpenLinks,
        store: FleetStore,
        findings: FindingsDesk,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._findings = findings
        self._wall_clock = wall_clock
        self._question = Question(links, store, DeviceJobs, self._ask)

    async def look(self, device_ids: Sequence[str]) -> list[DeviceJobs]:
        """Ask devices at once; of one that does not answer, return what it said last and why."""
        return await self._question.ask(device_ids)

    async def report(self, device_id: str, job_id: str) -> tuple[Job, OptimizationReport | None]:
        """Return a job and, if it has one, its report.

        Raises:
            RequestError: the device does not know the job.
            LinkError: the device cannot be asked.
            ProtocolError: it answered with something else.
        """
        link = self._question.link(device_id)
        found = await jobs.list_jobs(link, job_id)
        if not found:
            raise ProtocolError(f"{device_id} said nothing of {job_id}")
        if found[0].state is not JobState.DONE:
            return found[0], None
        return await jobs.fetch_report(link, job_id)

    async def _ask(self, device_id: str, link: ControlLink) -> DeviceJobs:
        found = await jobs.list_jobs(link)
        findings = await self._findings.of(device_id, link, found)
        speedups = {each.job_id: each.speedup for each in findings if each.speedup is not None}
        return DeviceJobs(device_id, found, speedups, self._wall_clock())
