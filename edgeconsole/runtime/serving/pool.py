"""The worker processes of one loaded bundle: started, watched, replaced. Knows nothing of requests.

A worker is dead when its process ended (alive), when it holds a job too long (deadline), or when it
uses more memory than it may; one that does not come up in time is ended too. Replacements wait longer
and longer, and enough ends in a row make the pool `failed`; it is still tried, slowly.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from edgeconsole.errors import BackendError
from edgeconsole.protocol.telemetry import ModelState, Severity
from edgeconsole.runtime.serving.channel import (
    FromWorker,
    Layout,
    Load,
    NotLoaded,
    Ran,
    Ready,
    Run,
    RunFailed,
)
from edgeconsole.runtime.serving.process import WorkerProcess

START_TIMEOUT_S: Final = 60.0
CRASH_WINDOW_S: Final = 60.0
CRASH_LOOP: Final = 5
"""So many ends of one worker within the window make the model `failed`."""
_FREE_CRASHES: Final = 3
"""So many ends within the window are replaced at once."""
MAX_BACKOFF_S: Final = 10.0

OnEvent = Callable[[Severity, str, str], None]
Job = TypeVar("Job")
_Job_contra = TypeVar("_Job_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What workers may use and take."""

    area_bytes: int
    hang_timeout_s: float
    memory_bytes: int | None


class Worker(Generic[Job]):
    """One place in the pool: a process, or the wait for the next one."""

    def __init__(self) -> None:
        self.process: WorkerProcess | None = None
        self.ready = False
        self.job: Job | None = None
        self.job_seq = 0
        self.busy_since_s = 0.0
        self.hangs_after_s = 0.0
        self.idle_since_s = 0.0
        self.started_s = 0.0
        self.last_words = ""
        self.crashes: deque[float] = deque(maxlen=CRASH_LOOP)
        self.respawn: asyncio.TimerHandle | None = None

    @property
    def free(self) -> bool:
        """Say whether it can take a job now."""
        return self.ready and self.job is None and self.process is not None and self.process.alive


class PoolUser(Protocol[_Job_contra]):
    """Who gives the jobs."""

    def worker_free(self) -> None:
        """Give the next job: a worker came up, or finished."""
        ...

    def job_done(self, job: _Job_contra, result: Ran | RunFailed) -> None:
        """Take a result from a worker that is free again; outputs are valid until this returns."""
        ...

    def job_lost(self, job: _Job_contra, why: str) -> None:
        """Take back a job whose worker ended."""
        ...

    def pool_failed(self, why: str) -> None:
        """Know that no worker stays alive."""
        ...


class WorkerPool(Generic[Job]):
    """The workers for one bundle: one at first, more with `grow`."""

    def __init__(
        self,
        name: str,
        load: Load,
        limits: PoolLimits,
        user: PoolUser[Job],
        on_event: OnEvent,
        *,
        gently: bool,
    ) -> None:
        """Make a pool; `gently` if its first worker starts beside others that serve."""
        self.state = ModelState.STARTING
        self.reason = ""
        self.restarts = 0
        self.first_words: Ready | None = None
        self.share = 1.0
        """How many of the workers may be busy at once, as a share."""
        self._name = name
        self.load = load
        """What the next worker is told."""
        self._limits = limits
        self._user = user
        self._on_event = on_event
        self._gently = gently
        self._loop = asyncio.get_running_loop()
        self._workers: list[Worker[Job]] = [Worker()]
        self._first_ready: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Start one worker and wait until it is proven.

        Raises `BackendError`, and then the pool is stopped.
        """
        self._spawn(self._workers[0])
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.shield(self._first_ready)
        except TimeoutError as error:
            await self.stop()
            raise BackendError(
                f"{self._name}: no worker came up in {START_TIMEOUT_S:.0f} s"
            ) from error
        except BaseException:
            await self.stop()
            raise

    def grow(self, size: int) -> None:
        """Start workers until there are `size`."""
        for _ in range(size - len(self._workers)):
            worker: Worker[Job] = Worker()
            self._workers.append(worker)
            self._spawn(worker)

    async def stop(self) -> None:
        """End all workers; jobs in hand are given back as lost."""
        self.state = ModelState.STOPPING
        self._first_ready.cancel()
        processes = []
        for worker in self._workers:
            if worker.respawn is not None:
                worker.respawn.cancel()
            if worker.process is not None:
                processes.append(worker.process)
                worker.process = None
            worker.ready = False
            self._give_back(worker, "the model was unloaded")
        await asyncio.gather(*(process.stop() for process in processes))

    def free_worker(self) -> Worker[Job] | None:
        """Return a worker that can take a job now."""
        if self.share < 1.0:
            busy = sum(worker.job is not None for worker in self._workers)
            if busy >= max(1, int(self.share * len(self._workers))):
                return None
        for worker in self._workers:
            if worker.free:
                return worker
        return None

    def run(
        self,
        worker: Worker[Job],
        job: Job,
        layout: Layout,
        now_s: float,
        patience_s: float,
    ) -> None:
        """Hand a job to a free worker; its inputs lie in the worker's memory.

        A worker hangs when it has not answered for `patience_s`, at least the limits' own time.
        """
        assert worker.process is not None
        worker.job = job
        worker.job_seq += 1
        worker.busy_since_s = now_s
        worker.hangs_after_s = max(patience_s, self._limits.hang_timeout_s)
        worker.process.run(Run(worker.job_seq, layout))

    @property
    def size(self) -> int:
        """Return how many workers there are to be."""
        return len(self._workers)

    @property
    def ready_count(self) -> int:
        """Return how many workers serve now."""
        return sum(worker.ready for worker in self._workers)

    def jobs(self) -> list[tuple[Job, float]]:
        """Return the jobs in hand and since when."""
        return [
            (worker.job, worker.busy_since_s) for worker in self._workers if worker.job is not None
        ]

    def pids(self) -> tuple[int, ...]:
        """Return the workers' process ids."""
        return tuple(
            worker.process.pid
            for worker in self._workers
            if worker.process is not None and worker.process.alive
        )

    def rss_bytes(self) -> int | None:
        """Return the workers' resident memory together; `None` without workers."""
        sizes = [
            worker.process.rss_bytes() for worker in self._workers if worker.process is not None
        ]
        known = [size for size in sizes if size is not None]
        return sum(known) if known else None

    def check(self, now_s: float) -> None:
        """Supervise: end workers that hang, leak or do not come up. Called about once a second."""
        for worker in self._workers:
            process = worker.process
            if process is None:
                continue
            if not worker.ready:
                if now_s - worker.started_s > START_TIMEOUT_S:
                    self._end(process, "worker_slow", f"did not come up in {START_TIMEOUT_S:.0f} s")
            elif worker.job is not None and now_s - worker.busy_since_s > worker.hangs_after_s:
                hang_s = worker.hangs_after_s
                self._end(process, "worker_hung", f"has not answered for {hang_s:g} s")
            elif self._limits.memory_bytes is not None:
                used = process.rss_bytes() or 0
                if used > self._limits.memory_bytes:
                    limit = self._limits.memory_bytes
                    what = f"uses {used >> 20} MiB, limit {limit >> 20} MiB"
                    self._end(process, "worker_over_memory", what)

    def replace(self, kind: str, what: str) -> None:
        """End the workers that serve; each is replaced by one that has proven itself."""
        for worker in self._workers:
            if worker.ready and worker.process is not None:
                self._end(worker.process, kind, what)

    def _end(self, process: WorkerProcess, kind: str, what: str) -> None:
        self._on_event(
            Severity.WARNING, kind, f"{self._name}: worker {process.pid} {what}; replaced"
        )
        process.kill()

    def _spawn(self, worker: Worker[Job]) -> None:
        worker.respawn = None
        worker.ready = False
        worker.last_words = ""
        worker.started_s = time.monotonic()
        try:
            worker.process = WorkerProcess(
                self.load,
                area_bytes=self._limits.area_bytes,
                gently=self._gently or self.ready_count > 0,
                on_message=lambda _, message: self._heard(worker, message),
                on_exit=lambda process, why: self._exited(worker, process, why),
            )
        except OSError as error:
            self._lost(worker, f"a worker could not be started: {error.strerror}")

    def _heard(self, worker: Worker[Job], message: FromWorker) -> None:
        match message:
            case Ran() | RunFailed():
                job, worker.job = worker.job, None
                worker.idle_since_s = time.monotonic()
                if job is not None and message.seq == worker.job_seq:
                    self._user.job_done(job, message)
                else:
                    self._user.worker_free()
            case Ready():
                self._ready(worker, message)
            case NotLoaded():
                worker.last_words = message.reason

    def _ready(self, worker: Worker[Job], message: Ready) -> None:
        if self.state is ModelState.STOPPING or worker.process is None:
            return
        worker.ready = True
        worker.idle_since_s = time.monotonic()
        self.state = ModelState.READY
        self.reason = ""
        self._on_event(
            Severity.INFO,
            "worker_ready",
            f"{self._name}: worker {worker.process.pid} loaded in {message.load_ms:.0f} ms, "
            "golden self-test passed",
        )
        if not self._first_ready.done():
            self.first_words = message
            # What one found out holds for all: were each to choose, they could ask for more cores
            # than there are.
            self.load = msgspec.structs.replace(
                self.load, intra_op_threads=message.intra_op_threads, measures=False
            )
            self._first_ready.set_result(None)
            self._gently = False
        self._user.worker_free()

    def _exited(self, worker: Worker[Job], process: WorkerProcess, why: str) -> None:
        if worker.process is not process:
            return
        worker.process = None
        self._lost(worker, worker.last_words or f"worker {process.pid} {why}")

    def _lost(self, worker: Worker[Job], why: str) -> None:
        """Give back the job of a worker that ended, and plan the next worker."""
        now_s = time.monotonic()
        worker.ready = False
        if not self._first_ready.done():
            self._first_ready.set_exception(BackendError(f"{self._name}: {why}"))
            return
        worker.crashes.append(now_s)
        recent = sum(1 for at_s in worker.crashes if now_s - at_s < CRASH_WINDOW_S)
        self.restarts += 1
        self.reason = why
        looping = recent >= CRASH_LOOP
        if not self.ready_count:
            self.state = ModelState.FAILED if looping else ModelState.STARTING
        delay_s = 0.0 if recent <= _FREE_CRASHES else min(MAX_BACKOFF_S, 0.05 * 2.0**recent)
        then = f"the next starts in {delay_s:.1f} s" if delay_s else "the next starts now"
        severity = Severity.CRITICAL if looping else Severity.WARNING
        self._on_event(severity, "worker_lost", f"{self._name}: {why}; {then}")
        worker.respawn = self._loop.call_later(delay_s, self._spawn, worker)
        self._give_back(worker, why)
        if self.state is ModelState.FAILED:
            self._user.pool_failed(why)

    def _give_back(self, worker: Worker[Job], why: str) -> None:
        job, worker.job = worker.job, None
        if job is not None:
            self._user.job_lost(job, why)
