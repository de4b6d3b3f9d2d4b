"""Optimisation jobs of one device, asked of it over an open connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from edgeconsole.errors import ProtocolError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import (
    JobReport,
    JobReportReply,
    JobsReply,
    ListJobs,
    Reply,
)
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport

_LOOK_S: Final = 0.5

# Each raises `RequestError` for what the device refuses, `LinkError` where no reply comes, and
# `ProtocolError` for one of another kind.


async def list_jobs(link: ControlLink, job_id: str = "") -> tuple[Job, ...]:
    """Return one job, or all: running, queued, finished."""
    reply = await link.ask(ListJobs(link.next_id(), job_id))
    if not isinstance(reply, JobsReply):
        raise _strange(link, reply)
    return reply.jobs


async def ordered_as(link: ControlLink, command_id: str) -> Job:
    """Return the job that a command queued."""
    for job in await list_jobs(link):
        if job.command_id == command_id:
            return job
    raise ProtocolError(f"{link.url} took the order and has no job for it")


async def follow(link: ControlLink, job_id: str, tell: Callable[[Job], None]) -> Job:
    """Tell how far a job is until it is over; returns how it ended."""
    while True:
        for job in await list_jobs(link, job_id):
            if job.state.final:
                return job
            tell(job)
        await asyncio.sleep(_LOOK_S)


async def fetch_report(link: ControlLink, job_id: str) -> tuple[Job, OptimizationReport]:
    """Return a job and its report."""
    reply = await link.ask(JobReport(link.next_id(), job_id))
    if not isinstance(reply, JobReportReply):
        raise _strange(link, reply)
    return reply.job, reply.report


def _strange(link: ControlLink, reply: Reply) -> ProtocolError:
    return ProtocolError(f"{link.url} answered with {type(reply).__name__}")
