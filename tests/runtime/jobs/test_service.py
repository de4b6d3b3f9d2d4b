"""The job service in this process, with the stand-in for the optimiser: what disks and time do to it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest
from blockbuster import blockbuster_ctx

from edgeconsole.bundle import Bundle
from edgeconsole.errors import ErrorCode, RequestError, StoreError
from edgeconsole.protocol.control import Optimize
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.runtime.jobs import records, service
from edgeconsole.runtime.jobs.records import JobRecord, JobRecords
from edgeconsole.runtime.jobs.service import JobService
from edgeconsole.runtime.models.store import ModelStore
from faults.models import save_bundle

STANDIN = str(Path(__file__).parents[2] / "e2e" / "standin_optimizer.py")


class Bench:
    """A service, started anew on the same folder as often as a test wants."""

    def __init__(self, home: Path, bundle: Bundle) -> None:
        self.home = home
        self.store = ModelStore(home / "state" / "models")
        self.bundle, _ = self.store.add(bundle.path)
        self.records = JobRecords(home / "state" / "jobs")
        self.events: list[tuple[str, str]] = []
        self.running: asyncio.Task[None] | None = None
        self.behave("")

    def behave(self, *how: str) -> None:
        """Say how the next job behaves."""
        (self.home / "behaviour").write_text(" ".join(how))

    async def start(self, *, grace_s: float = 60.0) -> JobService:
        """Start a service; the one before ends."""
        await self.stop()
        found = JobService(
            self.records,
            self.home / "state" / "optimizer",
            lambda: self.store,
            tuple,
            lambda _, kind, message: self.events.append((kind, message)),
            program=(STANDIN,),
            grace_s=grace_s,
        )
        await found.open()
        found.begin()
        self.running = asyncio.create_task(found.run())
        return found

    async def stop(self) -> None:
        """End the service in order."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    async def order(self, jobs: JobService, *, budget_s: float = 60.0) -> str:
        """Order a job; returns its id."""
        wanted = Optimize("1", "kim", digest=self.bundle.digest, budget_s=budget_s)
        return (await jobs.order(wanted, self.bundle)).job_id

    async def end(self, jobs: JobService, job_id: str) -> Job:
        """Wait for a job's end."""
        async with asyncio.timeout(20):
            await jobs._entries[job_id].over.wait()
        (job,) = jobs.listed(job_id)
        return job


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a folder with a stored model and no jobs."""
    found = await asyncio.to_thread(Bench, tmp_path, sure(tmp_path / "packed"))
    yield found
    await found.stop()


def sure(path: Path) -> Bundle:
    """Return the bundle of a tiny model."""
    import numpy as np
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "sure",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    save_bundle(graph, {"x": np.ones((2, 4), np.float32)}, path, "sure", "1")
    return Bundle.open(path)


def full(*_: object, **__: object) -> None:
    """Be a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_nothing_blocks_the_loop(bench):
    """A job's whole life is without blocking calls; starting a process is as for workers."""
    with blockbuster_ctx() as blocking:
        blocking.functions["os.read"].can_block_in("subprocess.py", "_execute_child")
        jobs = await bench.start()
        job_id = await bench.order(jobs)
        job = await bench.end(jobs, job_id)
        await jobs.report(job_id)
        await bench.stop()
    assert (job.state, job.reason) == (JobState.DONE, "")


async def test_a_full_disk_refuses_an_order(bench, monkeypatch):
    """What could not outlive a restart is not taken: the error says so and nothing is queued."""
    jobs = await bench.start()
    with monkeypatch.context() as patch:
        patch.setattr(records, "write_durably", full)
        with pytest.raises(StoreError, match="No space left"):
            await bench.order(jobs)
    assert jobs.listed() == ()
    assert list((bench.home / "state" / "jobs").iterdir()) == []
    assert (await bench.end(jobs, await bench.order(jobs))).state is JobState.DONE


async def test_a_disk_that_fills_up_meanwhile_fails_the_job(bench, monkeypatch):
    """The report cannot be kept: the job failed and says why, after a restart it is done again."""
    jobs = await bench.start()
    bench.behave("wait")
    job_id = await bench.order(jobs)
    with monkeypatch.context() as patch:
        patch.setattr(records, "write_durably", full)
        (bench.home / "go").touch()
        job = await bench.end(jobs, job_id)
        assert job.state is JobState.FAILED
        assert "No space left" in job.reason
        await bench.stop()
    jobs = await bench.start()
    assert (await bench.end(jobs, job_id)).state is JobState.DONE


async def test_a_store_that_takes_nothing_fails_the_job_but_keeps_the_report(bench, monkeypatch):
    """What was measured is not lost because bundles find no room."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("the disk has 0 MiB free", hint="free some")

    monkeypatch.setattr(bench.store, "add", refuse)
    jobs = await bench.start()
    job_id = await bench.order(jobs)
    job = await bench.end(jobs, job_id)
    assert (job.state, job.stored) == (JobState.FAILED, ())
    assert job.reason == "the disk has 0 MiB free (free some)"
    _, report = await jobs.report(job_id)
    assert report.recommended == "int8-minmax"
    assert bench.events[-1][0] == "job_failed"


async def test_a_damaged_record_is_said_and_dropped(bench):
    """One that cannot be read hides no other."""
    jobs = await bench.start()
    kept = await bench.order(jobs)
    await bench.end(jobs, kept)
    await bench.stop()
    for name, text in (("broken", "{"), ("moved", msgspec.json.encode(record(bench)).decode())):
        folder = bench.home / "state" / "jobs" / name
        folder.mkdir()
        (folder / "job.json").write_text(text)
    jobs = await bench.start()
    assert [each.job_id for each in jobs.listed()] == [kept]
    said = [message for kind, message in bench.events if "damaged" in message]
    assert len(said) == 2
    await bench.start()
    assert len([message for _, message in bench.events if "damaged" in message]) == 2


def record(bench: Bench, **changes: object) -> JobRecord:
    """Return a record of a job nobody ordered here."""
    wanted = Optimize("1", "kim", digest=bench.bundle.digest)
    job = msgspec.structs.replace(service._job(wanted, bench.bundle), **changes)
    return JobRecord(7, job)


async def test_a_job_that_ends_the_agent_is_not_started_for_ever(bench):
    """After three starts that came to no end it failed, and it says so."""
    found = record(bench, state=JobState.RUNNING, starts=service.MAX_STARTS)
    (bench.home / "state" / "jobs").mkdir()
    bench.records.save(found)
    jobs = await bench.start()
    job = await bench.end(jobs, found.job.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, "the agent ended 3 times while it ran")


async def test_a_job_without_its_bundle_fails(bench):
    """The bundle was removed while the job waited."""
    found = record(bench, bundle=service.named(bench.bundle))
    found = msgspec.structs.replace(
        found,
        job=msgspec.structs.replace(
            found.job, bundle=msgspec.structs.replace(found.job.bundle, digest="0" * 64)
        ),
    )
    (bench.home / "state" / "jobs").mkdir()
    bench.records.save(found)
    jobs = await bench.start()
    job = await bench.end(jobs, found.job.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, "its bundle is no longer in the store")


async def test_a_job_that_hangs_is_ended(bench):
    """Past its budget and some grace it is killed, and says so."""
    bench.behave("deaf", "wait")
    jobs = await bench.start(grace_s=0.5)
    job = await bench.end(jobs, await bench.order(jobs, budget_s=0.5))
    assert (job.state, job.reason) == (
        JobState.FAILED,
        "it did not end within 1 s and was killed",
    )


async def test_old_jobs_are_forgotten(bench, monkeypatch):
    """The latest are kept, in memory as on disk."""
    monkeypatch.setattr(service, "KEPT", 2)
    bench.behave("refuse")
    jobs = await bench.start()
    ids = [await bench.order(jobs) for _ in range(4)]
    await bench.end(jobs, ids[-1])
    await bench.stop()
    jobs = await bench.start()
    assert [each.job_id for each in jobs.listed()] == [ids[3], ids[2]]
    with pytest.raises(RequestError) as caught:
        await jobs.report(ids[0])
    assert caught.value.code is ErrorCode.UNKNOWN_JOB


async def test_an_order_while_the_agent_ends_is_refused(bench):
    """Nothing is taken that nobody would run."""
    jobs = await bench.start()
    await bench.end(jobs, await bench.order(jobs))
    await bench.stop()
    with pytest.raises(RequestError) as caught:
        await bench.order(jobs)
    assert caught.value.code is ErrorCode.SHUTTING_DOWN


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_job_the_agent_ends_under_is_put_back_unless_it_was_cancelled(
    bench, cancelled, eventually
):
    """Whoever cancels just then gets an answer, and what was cancelled does not come back."""
    bench.behave("wait")
    jobs = await bench.start()
    job_id = await bench.order(jobs)
    await eventually(lambda: jobs.listed(job_id)[0].progress is not None)
    cancelling = asyncio.create_task(jobs.cancel(job_id, "ann")) if cancelled else None
    await asyncio.sleep(0)
    await bench.stop()
    if cancelling is not None:
        assert job_id in await cancelling
    bench.behave("")
    jobs = await bench.start()
    job = await bench.end(jobs, job_id)
    assert job.state is (JobState.CANCELLED if cancelled else JobState.DONE)


async def test_a_program_that_cannot_be_started_fails_the_job(bench, monkeypatch):
    """The system has no room for another process."""
    monkeypatch.setattr(service, "JobProcess", full)
    jobs = await bench.start()
    job = await bench.end(jobs, await bench.order(jobs))
    assert job.reason == "the optimiser could not be started: No space left on device"


def status(pid: int) -> str:
    """Return whether a process runs, sleeps or is stopped."""
    return psutil.Process(pid).status()


async def test_a_deferred_job_stands_still(bench, eventually):
    """While the device is warm a running job and what it started are stopped; a queued one waits."""
    jobs = await bench.start()
    bench.behave("apart", "wait")
    first = await bench.order(jobs)
    started = bench.home / "apart"
    await eventually(lambda: started.exists() and started.read_text() != "")
    tree = (jobs._entries[first].process.pid, int(started.read_text()))
    jobs.defer("76.0 °C, limit 90 °C")
    await eventually(lambda: {status(pid) for pid in tree} == {psutil.STATUS_STOPPED})
    jobs.defer("77.0 °C, limit 90 °C")
    jobs.defer("")
    await eventually(lambda: psutil.STATUS_STOPPED not in {status(pid) for pid in tree})
    await eventually(lambda: "goes on" in bench.events[-1][1])
    assert [kind for kind, _ in bench.events].count("job_deferred") == 2
    await jobs.cancel(first, "kim")
    jobs.defer("76.0 °C, limit 90 °C")
    bench.behave("")
    second = await bench.order(jobs)
    third = await bench.order(jobs)
    await jobs.cancel(third, "kim")
    assert jobs.listed(second)[0].state is JobState.QUEUED
    jobs.defer("")
    assert (await bench.end(jobs, second)).state is JobState.DONE
    assert jobs.listed(third)[0].state is JobState.CANCELLED


async def test_a_deferred_job_can_be_cancelled(bench, eventually):
    """A job that stands still ends when it is cancelled, as any other."""
    jobs = await bench.start()
    bench.behave("wait")
    job_id = await bench.order(jobs)
    await eventually(lambda: jobs._entries[job_id].process is not None)
    jobs.defer("76.0 °C, limit 90 °C")
    pid = jobs._entries[job_id].process.pid
    await eventually(lambda: status(pid) == psutil.STATUS_STOPPED)
    await jobs.cancel(job_id, "kim")
    assert jobs.listed(job_id)[0].state is JobState.CANCELLED
