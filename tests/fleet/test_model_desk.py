"""The fleet's models, asked over real links: stores, and what jobs measured of what is in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgeconsole.errors import ErrorCode
from edgeconsole.fleet import findings
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.findings import FindingsDesk
from edgeconsole.fleet.model_desk import ModelDesk
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.control import (
    Command,
    Failed,
    JobReport,
    JobReportReply,
    JobsReply,
    ListJobs,
    ListModels,
    ModelsReply,
    StoredModel,
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
STORED = StoredModel("digits", "1", "int8", "b" * 64, "classification", 9, True, False)
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
    ended_unix_s=9.0,
)
BASE = Variant(name="original", technique="none", engine="onnxruntime", threads=1)
INT8 = msgspec.structs.replace(BASE, name="int8", digest="b" * 64, p99_ms=2.0, drop=0.5)
REPORT = OptimizationReport(
    model="digits",
    version="1",
    level=FULL,
    objective=Objective.P99,
    constraints=Constraints(),
    baseline=BASE,
    variants=(INT8, msgspec.structs.replace(BASE, name="skipped")),
    recommended="int8",
    why=(),
    device=MeasuredOn(fingerprint="f", cpu="c", cores=1, machine="m", engines={}),
    evaluation="none",
)


class Device:
    """A device's answers."""

    def __init__(self) -> None:
        self.jobs: tuple[Job, ...] = (DONE,)
        self.reports = 0
        self.lost = False

    def __call__(self, command: Command) -> list[Any] | None:
        """Answer as an agent does."""
        if isinstance(command, ListModels):
            return [ModelsReply(command.id, (STORED,))]
        if isinstance(command, ListJobs):
            return [JobsReply(command.id, self.jobs)]
        if isinstance(command, JobReport):
            self.reports += 1
            if self.lost:
                return [Failed(command.id, ErrorCode.CONFLICT.value, "it has no report")]
            return [JobReportReply(command.id, DONE, REPORT)]
        return None


@pytest.fixture
async def asked(small_agent: Any) -> Any:
    """Return a desk over one connected device `a` and one that is away, `b`, and its answers."""
    small_agent.answer = device = Device()
    links = OpenLinks()
    devices = tuple(FleetDevice(id=name, url="ws://127.0.0.1:1") for name in ("a", "b"))
    store = FleetStore(FleetSpec(name="lab", devices=devices))
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with links.through("a", link):
            yield ModelDesk(links, store, FindingsDesk(), lambda: 77.0), device


async def test_devices_say_their_models_and_what_was_measured(asked: Any) -> None:
    """Reports are asked for once; a variant without a bundle is nobody's measurement."""
    desk, device = asked
    for _ in range(2):
        said, away = await desk.look(["a", "b"])
    assert (said.models, said.heard_unix_s, said.note) == ((STORED,), 77.0, "")
    (finding,) = said.findings
    assert (finding.model, finding.ended_unix_s) == ("digits", 9.0)
    measured = finding.measured["b" * 64]
    assert (measured.p99_ms, measured.drop, measured.recommended) == (2.0, 0.5, True)
    assert list(finding.measured) == ["b" * 64]
    assert device.reports == 1
    assert (away.models, away.note) == ((), "it is not connected")


async def test_a_report_that_is_lost_hides_nothing_else(asked: Any) -> None:
    """The models are there all the same, and it is asked for again."""
    desk, device = asked
    device.lost = True
    (said,) = await desk.look(["a"])
    assert (said.models, said.findings, said.note) == ((STORED,), (), "")
    device.lost = False
    (said,) = await desk.look(["a"])
    assert len(said.findings) == 1


async def test_what_is_kept_of_reports_is_bounded(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten, and asked for again when it is looked at."""
    desk, device = asked
    monkeypatch.setattr(findings, "MOST", 2)
    device.jobs = tuple(msgspec.structs.replace(DONE, job_id=f"job-{at}") for at in range(3))
    (said,) = await desk.look(["a"])
    assert len(said.findings) == 3
    assert len(desk._findings._kept) == 2
