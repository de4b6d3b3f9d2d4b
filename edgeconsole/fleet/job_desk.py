"""The optimisation jobs of a whole fleet, asked of the devices that are connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from edgeconsole.errors import EdgeConsoleError, LinkError, ProtocolError
from edgeconsole.fleet import jobs
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.protocol.optimization import OptimizationReport

_AT_ONCE: Final = 32
_WAIT_S: Final = 3.0
"""A device that hangs must not hold back what the others say for longer."""
_MOST_SPEEDUPS: Final = 4096


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
    """Asks devices for their jobs over the links that are open, and keeps what they said last."""

    def __init__(
        self, links: OpenLinks, store: FleetStore, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._links = links
        self._store = store
        self._wall_clock = wall_clock
        self._known: dict[str, DeviceJobs] = {}
        self._speedups: dict[tuple[str, str, float | None], float | None] = {}

    async def look(self, device_ids: Sequence[str]) -> list[DeviceJobs]:
        """Ask devices at once; of one that does not answer, return what it said last and why."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(device_id: str) -> DeviceJobs:
            async with room:
                return await self._ask(device_id)

        return list(await asyncio.gather(*(ask(each) for each in device_ids)))

    async def report(self, device_id: str, job_id: str) -> tuple[Job, OptimizationReport | None]:
        """Return a job and, if it has one, its report.

        Raises:
            RequestError: the device does not know the job.
            LinkError: the device cannot be asked.
            ProtocolError: it answered with something else.
        """
        link = self._link(device_id)
        found = await jobs.list_jobs(link, job_id)
        if not found:
            raise ProtocolError(f"{device_id} said nothing of {job_id}")
        if found[0].state is not JobState.DONE:
            return found[0], None
        return await jobs.fetch_report(link, job_id)

    def _link(self, device_id: str) -> ControlLink:
        link = self._links.get(device_id)
        if link is None:
            raise LinkError(f"{device_id}: {self._why_not(device_id)}")
        return link

    def _why_not(self, device_id: str) -> str:
        view = self._store.device(device_id)
        return (view.link_reason if view is not None else "") or "it is not connected"

    async def _ask(self, device_id: str) -> DeviceJobs:
        before = self._known.get(device_id, DeviceJobs(device_id))
        link = self._links.get(device_id)
        if link is None:
            return msgspec.structs.replace(before, note=self._why_not(device_id))
        try:
            async with asyncio.timeout(_WAIT_S):
                found = await jobs.list_jobs(link)
                speedups = await self._ask_speedups(device_id, link, found)
        except TimeoutError:
            return msgspec.structs.replace(before, note="it does not answer")
        except EdgeConsoleError as error:
            return msgspec.structs.replace(before, note=error.message)
        said = DeviceJobs(device_id, found, speedups, self._wall_clock())
        self._known[device_id] = said
        return said

    async def _ask_speedups(
        self, device_id: str, link: ControlLink, found: Sequence[Job]
    ) -> dict[str, float]:
        """Return the speed-ups of what is recommended: only reports have them, and they stay."""
        speedups: dict[str, float] = {}
        for job in found:
            if job.state is not JobState.DONE or not job.variant:
                continue
            key = (device_id, job.job_id, job.ended_unix_s)
            if key not in self._speedups:
                _, report = await jobs.fetch_report(link, job.job_id)
                best = next((each for each in report.variants if each.name == job.variant), None)
                if len(self._speedups) >= _MOST_SPEEDUPS:
                    self._speedups.clear()
                self._speedups[key] = best.speedup if best is not None else None
            speedup = self._speedups[key]
            if speedup is not None:
                speedups[job.job_id] = speedup
        return speedups
