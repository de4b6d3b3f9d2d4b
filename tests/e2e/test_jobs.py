"""Optimisation jobs on a real agent: queued, run beside what it serves, and never at its cost.

The optimiser is a stand-in that does at once what a test wants of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edgeconsole.client import EdgeClient
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import (
    ActivateModel,
    CancelJob,
    JobReport,
    ListJobs,
    ListModels,
)
from edgeconsole.protocol.jobs import JobState

sys.path.insert(0, str(Path(__file__).parent))
from job_device import Device, is_gone


@pytest.fixture
async def device(agents):
    """Return a device that serves digits."""
    async with Device(agents, agents.write()) as found:
        yield found


async def code_of(asked) -> ErrorCode:
    """Return the code something is refused with; a refusal says what and has no trace."""
    with pytest.raises(RequestError) as caught:
        await asked
    assert len(caught.value.message) > 10
    assert "Traceback" not in caught.value.message
    return caught.value.code


async def test_a_job_ends_with_a_report_and_bundles_that_can_be_activated(device, heldout):
    """Done: the report can be fetched, what fits is in the store, and one activate deploys it."""
    job_id = await device.order(max_drop=0.5, budget_s=60.0, max_size_bytes=1 << 20)
    job = await device.until(job_id, JobState.DONE)
    assert (job.variant, job.reason, job.actor) == ("int8-minmax", "", "kim")
    assert job.recommended is not None
    assert job.recommended.key == "digits/1/int8-minmax"
    assert {each.variant for each in job.stored} == {"int8-minmax", "fp32"}
    reply = await device.link.ask(JobReport("r", job_id))
    assert reply.job == job
    assert reply.report.recommended == "int8-minmax"
    assert reply.report.constraints.max_drop == 0.5
    (start,) = device.starts()
    assert start["nice"] >= 10
    arguments = " ".join(start["arguments"])
    for expected in ("--budget 1m", "--level full_optimization", "--max-size-mb 1"):
        assert expected in arguments
    stored = (await device.link.ask(ListModels("m"))).models
    assert not next(each for each in stored if each.variant == "int8-minmax").active
    await device.link.ask(ActivateModel("a", "digits", digest=job.recommended.digest))
    async with EdgeClient(device.agent.url, token=device.agent.token) as client:
        assert (await client.infer("digits", {"image": heldout[0][:1]})).variant == "int8-minmax"
    assert not (device.home / "state" / "jobs" / job_id / "out").exists()
    kinds = [kind for kind, _ in device.events if kind.startswith("job_")]
    assert kinds == ["job_queued", "job_done"]
    assert "kim ordered" in next(text for kind, text in device.events if kind == "job_queued")


async def test_jobs_run_one_at_a_time_in_their_order(device):
    """The second waits for the first; the list says who runs and who is behind whom."""
    device.behave("wait")
    first, second, third = [await device.order() for _ in range(3)]
    await device.running(first)
    listed = await device.jobs()
    assert [(each.job_id, each.ahead) for each in listed] == [(first, 0), (second, 1), (third, 2)]
    assert [each.state for each in listed] == [JobState.RUNNING, JobState.QUEUED, JobState.QUEUED]
    assert len(device.starts()) == 1
    device.go()
    jobs = [await device.until(each, JobState.DONE) for each in (first, second, third)]
    for before, after in pairwise(jobs):
        assert before.ended_unix_s <= after.started_unix_s
    assert [each.job_id for each in await device.jobs()] == [third, second, first]


async def test_one_too_many_is_refused(device):
    """Beyond eight that wait a job is refused with a code, and nothing is forgotten."""
    device.behave("wait")
    running = await device.order()
    await device.running(running)
    waiting = [await device.order() for _ in range(8)]
    assert await code_of(device.order()) is ErrorCode.QUEUE_FULL
    assert [each.job_id for each in await device.jobs()] == [running, *waiting]


def child(device: Device) -> str:
    """Return the pid of the process that the stand-in started."""
    return (device.home / "child").read_text()


@pytest.mark.parametrize("how", [("wait",), ("deaf", "wait"), ("child", "wait")])
async def test_a_running_job_is_cancelled_within_two_seconds(device, how, eventually):
    """Also one that does not listen; what it started goes with it, and the next job runs."""
    device.behave(*how)
    job_id = await device.order()
    await device.running(job_id)
    if "child" in how:
        await eventually(lambda: (device.home / "child").exists() and child(device) != "")
    began_s = time.monotonic()
    assert job_id in await device.cancel(job_id)
    assert time.monotonic() - began_s < 2.0
    job = await device.job(job_id)
    assert (job.state, job.reason) == (JobState.CANCELLED, "cancelled by ann")
    assert is_gone(device.starts()[0]["pid"])
    if "child" in how:
        # It was killed with its group; that it is gone is the kernel's to say.
        await eventually(lambda: is_gone(int(child(device))))
    device.behave("")
    await device.until(await device.order(), JobState.DONE)


async def test_a_queued_job_is_cancelled_at_once(device):
    """It never starts, and the one that runs does not notice."""
    device.behave("wait")
    first, second = await device.order(), await device.order()
    await device.running(first)
    await device.cancel(second)
    assert (await device.job(second)).state is JobState.CANCELLED
    assert await code_of(device.cancel(second)) is ErrorCode.CONFLICT
    assert (await device.job(first)).state is JobState.RUNNING
    device.go()
    await device.until(first, JobState.DONE)
    assert len(device.starts()) == 1


@pytest.mark.parametrize("orderly", [True, False])
async def test_jobs_survive_a_restart_of_the_agent(device, orderly, eventually):
    """What ran is started again, what waited comes after it, what was done stays with its report."""
    done = await device.order()
    await device.until(done, JobState.DONE)
    device.behave("wait")
    first, second = await device.order(), await device.order()
    await device.running(first)
    pid = device.starts()[-1]["pid"]
    if orderly:
        assert await asyncio.to_thread(device.agent.stop) == 0
    else:
        device.agent.process.kill()
        await asyncio.to_thread(device.agent.process.wait, 5)
    await eventually(lambda: is_gone(pid))
    device.behave("")
    await device.restart()
    await device.until(second, JobState.DONE)
    jobs = {each.job_id: each for each in await device.jobs()}
    assert {each.state for each in jobs.values()} == {JobState.DONE}
    assert jobs[first].starts == (1 if orderly else 2)
    assert jobs[first].ended_unix_s <= jobs[second].started_unix_s
    reply = await device.link.ask(JobReport("r", done))
    assert reply.report.recommended == "int8-minmax"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("crash", "without a report that can be read: RuntimeError: the tensors are on fire ?[31m"),
        ("refuse", "No space left on device"),
        ("garbage", "without a report that can be read"),
        ("flood", "more than 1 MiB where its report belongs"),
        ("other", "about 'somebody-elses', not 'digits'"),
    ],
)
async def test_a_job_that_goes_wrong_ends_with_a_reason(device, how, words):
    """Its reason is one line fit for a terminal, nothing enters the store, and the next job runs."""
    device.behave(how)
    job_id = await device.order()
    job = await device.until(job_id, JobState.FAILED)
    assert words in job.reason
    assert job.reason.isprintable()
    assert len((await device.link.ask(ListModels("m"))).models) == 2
    assert await code_of(device.link.ask(JobReport("r", job_id))) is ErrorCode.CONFLICT
    assert "job_failed" in [kind for kind, _ in device.events]
    device.behave("nothing")
    job = await device.until(await device.order(), JobState.DONE)
    assert (job.recommended, job.stored) == (None, ())


async def test_a_job_that_is_killed_ends_with_a_reason(device):
    """Somebody, such as the kernel, ends its process: the job failed, the agent goes on."""
    device.behave("wait")
    job_id = await device.order()
    await device.running(job_id)
    os.kill(device.starts()[0]["pid"], signal.SIGKILL)
    job = await device.until(job_id, JobState.FAILED)
    assert "SIGKILL" in job.reason


async def test_serving_goes_on_and_is_watched(device, heldout):
    """While a job runs requests are answered; the job says how long they took."""
    device.behave("wait")
    async with EdgeClient(device.agent.url, token=device.agent.token) as client:

        async def ask() -> None:
            result = await client.infer("digits", {"image": heldout[0][:1]}, deadline_ms=1000)
            assert result.outputs

        for _ in range(50):
            await ask()
        job_id = await device.order()
        await device.running(job_id)
        # The job looks once a second.
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            await ask()
        device.go()
        job = await device.until(job_id, JobState.DONE)
    assert job.serving_p99_ms_before is not None
    assert job.serving_p99_ms_during is not None
    assert 0 < job.serving_p99_ms_before < 1000


async def test_without_traffic_nothing_is_said_of_it(device):
    """No requests, no percentiles."""
    job = await device.until(await device.order(), JobState.DONE)
    assert (job.serving_p99_ms_before, job.serving_p99_ms_during) == (None, None)


async def test_what_does_not_exist_is_refused(device):
    """Unknown models, digests and jobs have codes and sentences."""
    for wanted in ({"model": "cats"}, {"digest": "0" * 64}, {"model": ""}):
        assert await code_of(device.order(**wanted)) is ErrorCode.UNKNOWN_MODEL
    for command in (
        CancelJob("c", "nope", "ann"),
        JobReport("r", "../../../etc"),
        ListJobs("l", "nope"),
    ):
        assert await code_of(device.link.ask(command)) is ErrorCode.UNKNOWN_JOB
    assert await device.jobs() == []


async def test_a_bundle_is_named_by_its_digest(device):
    """A stored bundle that is not active can be optimised as well."""
    models = (await device.link.ask(ListModels("m"))).models
    tiny = next(each for each in models if each.model == "digits-tiny")
    job = await device.until(await device.order(model="", digest=tiny.digest), JobState.DONE)
    assert job.bundle.digest == tiny.digest
    assert {each.model for each in job.stored} == {"digits-tiny"}
