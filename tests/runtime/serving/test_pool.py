"""The workers of one bundle, as real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgeconsole.protocol.telemetry import Severity
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
    bundle = slow_model(tmp_path / "slow", layers=80)
    user = User()
    limits = PoolLimits(area_bytes=1 << 20, hang_timeout_s=60.0, memory_bytes=None)
    load = Load(str(bundle.path), threads, 2, 4, measures=True)
    pool: WorkerPool[Any] = WorkerPool("slow:1", load, limits, user, say)
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
