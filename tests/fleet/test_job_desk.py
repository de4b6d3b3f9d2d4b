"""The fleet's jobs, asked over real links: what devices say, and what stands in where they do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from edgeconsole.errors import ErrorCode, LinkError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.findings import FindingsDesk
from edgeconsole.fleet.job_desk import JobDesk
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.control import (
    Command,
    Failed,
    JobReport,
    JobReportReply,
    JobsReply,
    ListJobs,
)
from edgeconsole.protocol.jobs import Job, JobBundle, JobState
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
)
from edgeconsole.specs import FleetDevice, FleetSpec, ModelOptimizationLevel

FULL = ModelOptimizationLevel.FULL_OPTIMIZATION
DONE = Job(
    job_id="job-1",
    state=JobState.DONE,
    bundle=JobBundle("digits", "1", "fp32", "a" * 64),
    level=FULL,
    objective=Objective.P99,
    constraints=Constraints(),
    budget_s=60.0,
    actor="kim@desk",
    queued_unix_s=1.0,
    variant="int8",
)
RUNNING = msgspec.structs.replace(DONE, job_id="job-2", state=JobState.RUNNING, variant="")
BASE = Variant(name="original", technique="none", engine="onnxruntime", threads=1)
REPORT = OptimizationReport(
    model="digits",
    version="1",
    level=FULL,
    objective=Objective.P99,
    constraints=Constraints(),
    baseline=BASE,
    variants=(msgspec.structs.replace(BASE, name="int8", speedup=2.5),),
    recommended="int8",
    why=(),
    device=MeasuredOn(fingerprint="f", cpu="c", cores=1, machine="m", engines={}),
    evaluation="none",
)


class Jobs:
    """A device's answers to questions about jobs."""

    def __init__(self) -> None:
        self.heard: list[Command] = []
        self.old = False

    def __call__(self, command: Command) -> list[Any] | None:
        """Answer as an agent does; an old one knows no jobs."""
        if not isinstance(command, ListJobs | JobReport):
            return None
        self.heard.append(command)
        if self.old:
            return [Failed(command.id, ErrorCode.MALFORMED.value, "not a valid command")]
        if isinstance(command, JobReport):
            return [JobReportReply(command.id, DONE, REPORT)]
        wanted = command.job_id
        found = tuple(each for each in (RUNNING, DONE) if wanted in ("", each.job_id))
        return [JobsReply(command.id, found)]


@asynccontextmanager
async def desk_of(agent: Any) -> AsyncIterator[tuple[JobDesk, Jobs, OpenLinks]]:
    """Return a desk over one connected device `a` and one that is away, `b`."""
    answers = Jobs()
    agent.answer = answers
    links = OpenLinks()
    devices = tuple(FleetDevice(id=name, url="ws://127.0.0.1:1") for name in ("a", "b"))
    store = FleetStore(FleetSpec(name="lab", devices=devices))
    async with agent, ControlLink(agent.url, agent.token) as link:
        with links.through("a", link):
            yield JobDesk(links, store, FindingsDesk(), lambda: 77.0), answers, links


async def test_devices_say_their_jobs_and_reports_are_asked_once(small_agent: Any) -> None:
    """The speed-up of what is recommended is in the report alone, which does not change."""
    async with desk_of(small_agent) as (desk, answers, _):
        for _ in range(3):
            (said,) = await desk.look(["a"])
        assert (said.jobs, said.speedups, said.note) == ((RUNNING, DONE), {"job-1": 2.5}, "")
        assert said.heard_unix_s == 77.0
        assert sum(isinstance(each, JobReport) for each in answers.heard) == 1


async def test_a_device_that_is_away_has_its_jobs_of_before(small_agent: Any) -> None:
    """What it said last stays, with the time and the reason; one never heard has none."""
    async with desk_of(small_agent) as (desk, _, links):
        before, never = await desk.look(["a", "b"])
        assert (never.jobs, never.heard_unix_s, never.note) == ((), None, "it is not connected")
        del links._links["a"]
        (now,) = await desk.look(["a"])
        assert now == msgspec.structs.replace(before, note="it is not connected")
        with pytest.raises(LinkError, match="b: it is not connected"):
            await desk.report("b", "job-1")
        links._links["a"] = None  # type: ignore[assignment]  # it is taken out again at the end


async def test_an_agent_from_before_jobs_is_said_to_be_one_and_hides_no_other(
    small_agent: Any,
) -> None:
    """Its refusal is the note; nothing is raised."""
    async with desk_of(small_agent) as (desk, answers, _):
        answers.old = True
        (said,) = await desk.look(["a"])
        assert (said.jobs, said.note) == ((), "not a valid command")


async def test_a_device_that_hangs_is_left_after_a_while(
    small_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not hold back the others for as long as a command may take."""
    monkeypatch.setattr("edgeconsole.fleet.asking._WAIT_S", 0.05)
    async with desk_of(small_agent) as (desk, _, _links):
        small_agent.answer = lambda _: []
        (said,) = await desk.look(["a"])
        assert said.note == "it does not answer"


async def test_a_report_comes_with_its_job_once_it_is_done(small_agent: Any) -> None:
    """Of a job that runs there is the job alone."""
    async with desk_of(small_agent) as (desk, _, _links):
        assert await desk.report("a", "job-1") == (DONE, REPORT)
        assert await desk.report("a", "job-2") == (RUNNING, None)
