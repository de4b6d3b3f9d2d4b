"""The workers of one bundle, as real processes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgeconsole.protocol.telemetry import Severity
from edgeconsole.runtime.linux import may_come_back
from edgeconsole.runtime.serving.channel import Load
from edgeconsole.runtime.serving.pool import PoolLimits, WorkerPool
from tests.models import slow_model


class User:
    """Waits for workers, and gives no jobs."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def worker_free(self) -> None:
        """Note that something changed."""
        self.changed.set()

    def job_done(self, job: object, result: object) -> None:
        """Fail."""
        raise AssertionError("no job was given")

    def job_lost(self, job: object, why: str) -> None:
        """Fail."""
        raise AssertionError("no job was given")

    def pool_failed(self, why: str) -> None:
        """Fail."""
        raise AssertionError(why)


def say(severity: Severity, kind: str, what: str) -> None:
    """Show an event if the test fails."""
    print(severity.name, kind, what)


def thread_counts(pool: WorkerPool[Any]) -> set[int]:
    """Return how many threads the workers have."""
    return {psutil.Process(pid).num_threads() for pid in pool.pids()}


def new_pool(folder: Path, user: User, *, threads: int, gently: bool) -> WorkerPool[Any]:
    """Make a pool for a model that takes some milliseconds."""
    bundle = slow_model(folder, layers=80)
    limits = PoolLimits(area_bytes=1 << 20, hang_timeout_s=60.0, memory_bytes=None)
    load = Load(str(bundle.path), threads, 2, 4, measures=True)
    return WorkerPool("slow:1", load, limits, user, say, gently=gently)


def nice_values(pid: int) -> set[int]:
    """Return the nice values of a process's threads."""
    return {
        os.getpriority(os.PRIO_PROCESS, int(thread.name))
        for thread in Path(f"/proc/{pid}/task").iterdir()
    }


async def started(pool: WorkerPool[Any], user: User, count: int) -> None:
    """Wait until so many workers are ready."""
    while pool.ready_count < count:
        user.changed.clear()
        await asyncio.wait_for(user.changed.wait(), 60)


@pytest.mark.parametrize("threads", [0, 1, 2])
async def test_what_the_first_worker_found_holds_for_all(tmp_path: Path, threads: int) -> None:
    """One worker chooses the threads and times batches; the others, and replacements, are told.

    Else two workers could each take two threads where there are two cores.
    """
    user = User()
    pool = new_pool(tmp_path / "slow", user, threads=threads, gently=False)
    await pool.start()
    try:
        words = pool.first_words
        assert words is not None
        assert words.intra_op_threads >= 1
        assert words.curve
        assert threads in {0, words.intra_op_threads}
        assert pool.load.intra_op_threads == words.intra_op_threads
        assert not pool.load.measures
        pool.grow(3)
        await started(pool, user, 3)
        counts = thread_counts(pool)
        assert len(counts) == 1
        before = set(pool.pids())
        pool.replace("replaced", "for the test")
        while pool.restarts < 3 or pool.ready_count < 3:
            user.changed.clear()
            await asyncio.wait_for(user.changed.wait(), 60)
        assert not before & set(pool.pids())
        assert pool.first_words is words
        assert thread_counts(pool) == counts
    finally:
        await pool.stop()


@pytest.mark.parametrize("threads", [1, 2])
async def test_a_worker_beside_others_starts_nicer_than_it_serves(
    tmp_path: Path, threads: int
) -> None:
    """Until it is ready it leaves the cores to those that serve; then all its threads are as nice as theirs."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    if not may_come_back():
        pytest.skip("this system lets no process lower its nice value")
    user = User()
    pool = new_pool(tmp_path / "slow", user, threads=threads, gently=True)
    starting = asyncio.create_task(pool.start())
    await asyncio.sleep(0)
    try:
        (pid,) = pool.pids()
        assert nice_values(pid) == {min(19, ours + 12)}
        await starting
        assert nice_values(pid) == {min(19, ours + 5)}
        pool.grow(2)
        (second,) = set(pool.pids()) - {pid}
        assert nice_values(second) == {min(19, ours + 12)}
        await started(pool, user, 2)
        assert nice_values(second) == {min(19, ours + 5)}
    finally:
        await pool.stop()
