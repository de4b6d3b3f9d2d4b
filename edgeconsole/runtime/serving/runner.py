"""One loaded model. A request's way: `submit` → queue → `_dispatch` → worker → `job_done` → answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from edgeconsole.bundle import Bundle
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import ALIGNMENT, PriorityClass
from edgeconsole.protocol.telemetry import ModelSample, ModelState
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.serving.answers import Answers
from edgeconsole.runtime.serving.batcher import Pending, RequestBatcher
from edgeconsole.runtime.serving.channel import Load, Ran, RunFailed
from edgeconsole.runtime.serving.company import waits_until_s
from edgeconsole.runtime.serving.metrics import PerformanceMetrics, Phase
from edgeconsole.runtime.serving.outlook import Outlook
from edgeconsole.runtime.serving.pool import OnEvent, PoolLimits, Worker, WorkerPool
from edgeconsole.specs import ModelDeploymentSpec, ServingConfig

MAX_ATTEMPTS: Final = 2
"""A request whose worker died goes once more, to another worker; then it may be the cause."""
_EARLY_S: Final = 0.0002
_PATIENCE: Final = 4.0
"""A worker hangs only when it takes this multiple of what such a batch takes, and `hang_timeout_s`."""
_ONE_WORKER_BELOW_MS: Final = 1.0
"""Below this the supervisor, not the model, is what a second worker would wait for."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of what a model could use it may use now."""

    batch: float = 1.0
    """Of the largest batch."""
    workers: float = 1.0
    """Of the workers, and so of the threads."""


@dataclass(slots=True)
class Batch:
    """Requests that run together."""

    members: list[Pending]
    rows: int
    dispatched_s: float
    idle_since_s: float
    """Since when its worker had nothing to do."""
    ends_s: float
    """When it should be done."""


class ModelRunner:
    """Serves one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        spec: ModelDeploymentSpec,
        *,
        deadline_ms: float,
        cores: int,
        serving: ServingConfig,
        on_event: OnEvent,
        gently: bool,
    ) -> None:
        """Make a runner; `gently` if others serve while it starts."""
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.deadline_ms = deadline_ms
        self.metrics = PerformanceMetrics()
        self._lent = PerformanceMetrics()
        """What is not a client's request to this model; see `Pending.counted`."""
        self._outlook = Outlook()
        self.curve = self._outlook.curve
        self.cached = spec.cache
        self._spec = spec
        most = self.manifest.execution.max_batch or spec.max_batch
        self._max_rows = min(spec.max_batch, most) if self.manifest.is_batched else 1
        self._max_bytes = 2 * serving.max_message_bytes - ALIGNMENT * len(self.manifest.inputs)
        self._max_delay_s = spec.max_delay_ms / 1e3
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._queue = RequestBatcher(
            serving.max_queue, serving.max_queue_mb << 20, serving.queue_policy
        )
        self._answers = Answers(bundle.manifest)
        self._again: deque[list[Pending]] = deque()
        """Parts of a batch that failed, to be run on their own."""
        self._delay: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._cores = cores
        memory_mb = spec.memory_requirement_mb
        threads = min(spec.intra_op_threads or 0, cores)
        self._pool: WorkerPool[Batch] = WorkerPool(
            self.manifest.key,
            Load(str(bundle.path), threads, cores, self._max_rows, measures=True),
            PoolLimits(
                area_bytes=2 * serving.max_message_bytes,
                hang_timeout_s=serving.hang_timeout_s,
                memory_bytes=memory_mb << 20 if memory_mb is not None else None,
            ),
            self,
            on_event,
            gently=gently,
        )

    # The way of a request.

    def submit(self, pending: Pending) -> None:
        """Take a checked request; it is answered or refused by its deadline.

        Raises:
            RequestError: NOT_READY, QUEUE_FULL, or DEADLINE_UNREACHABLE with the estimated wait.
        """
        figures = self._figures(pending)
        figures.requests_total += 1
        try:
            self._accept(pending, pending.received_s)
        except RequestError as error:
            figures.refused[error.code] += 1
            raise

    def _figures(self, pending: Pending) -> PerformanceMetrics:
        return self.metrics if pending.counted else self._lent

    def _accept(self, pending: Pending, now_s: float) -> None:
        if self._stopping or self._pool.state is ModelState.FAILED:
            state = ModelState.STOPPING if self._stopping else ModelState.FAILED
            raise RequestError(
                ErrorCode.NOT_READY, f"{self.manifest.key} is {state.value}: {self._pool.reason}"
            )
        worker = self._pool.free_worker()
        if worker is not None and self._nobody_waits and not self._max_delay_s:
            self._outlook.check_idle(pending, now_s)
            self._idle.clear()
            self.watch(pending)
            self._run(worker, [pending], now_s)
            return
        wait_ms = self._wait_ms(pending, now_s)
        self._outlook.check_waiting(pending, now_s, wait_ms)
        try:
            dropped = self._queue.push(pending, now_s)
        except RequestError as error:
            error.estimated_wait_ms = wait_ms
            raise
        if dropped is not None:
            self._refuse(
                dropped, RequestError(ErrorCode.QUEUE_FULL, "a newer request took its place")
            )
        self._idle.clear()
        self.watch(pending)
        if worker is not None:
            self._dispatch()

    @property
    def _nobody_waits(self) -> bool:
        return not self._again and not self._queue

    def watch(self, pending: Pending) -> None:
        """Refuse a request when its deadline passes."""
        left_s = pending.deadline_s - time.monotonic()
        pending.timer = self._loop.call_later(max(0.0, left_s), self._expire, pending)

    def cancel(self, pending: Pending, error: RequestError) -> None:
        """Drop a request; a result that is being computed for it is ignored."""
        if not pending.done:
            self._refuse(pending, error)

    def _wait_ms(self, pending: Pending, now_s: float) -> float:
        """Return how long a request would wait for a worker."""
        ends_s = min([batch.ends_s for batch, _ in self._pool.jobs()], default=now_s)
        return self._outlook.wait_ms(
            self._queue.rows_ahead(pending.priority, pending.deadline_s),
            self._max_rows,
            free_in_ms=(ends_s - now_s) * 1e3,
            workers=self._pool.ready_count,
        )

    def _dispatch(self) -> None:
        """Give free workers what goes next."""
        while (worker := self._pool.free_worker()) is not None:
            now_s = time.monotonic()
            if self._again:
                members = [member for member in self._again.popleft() if not member.done]
            elif self._wait_for_company(worker, now_s):
                return
            else:
                members = self._queue.take(now_s, self.curve, self._max_rows, self._max_bytes)
                if not members:
                    self._look_idle()
                    return
                members = self._in_time(members, now_s)
            if members:
                self._run(worker, members, now_s)

    def _in_time(self, members: list[Pending], now_s: float) -> list[Pending]:
        """Refuse what would be late even if it ran at once: its time belongs to others."""
        others_wait = len(self._queue) > 0
        good = []
        for member in members:
            error = self._outlook.too_late(member, now_s, others_wait=others_wait)
            if error is None:
                good.append(member)
            else:
                self._refuse(member, error)
        return good

    def _run(self, worker: Worker[Batch], members: list[Pending], now_s: float) -> None:
        process = worker.process
        assert process is not None
        memory = process.channel.inputs
        try:
            # The members' tensors lie in the worker's memory row after row.
            if len(members) == 1:
                rows = members[0].rows
                layout = memory.write(members[0].inputs)
            else:
                rows = sum([member.rows for member in members])
                layout = memory.write_rows(
                    list(zip(*[member.inputs for member in members], strict=True))
                )
        except RequestError as error:
            self._halve(members, error)
            return
        for member in members:
            member.attempts += 1
            member.began_s, member.batch_rows = now_s, rows
            self._outlook.runs(member, now_s)
        ends_s = now_s + self.curve.mean_ms(rows) / 1e3
        batch = Batch(members, rows, now_s, worker.idle_since_s, ends_s)
        self._pool.run(worker, batch, layout, now_s, _PATIENCE * self.curve.bound_ms(rows) / 1e3)

    def job_done(self, job: Batch, result: Ran | RunFailed) -> None:
        """Answer a batch's members, or find out whose fault a failure is."""
        now_s = time.monotonic()
        if isinstance(result, RunFailed):
            self._halve(job.members, RequestError(ErrorCode.MODEL_FAILED, result.reason))
            self._dispatch()
            return
        self.curve.observe(job.rows, (now_s - job.dispatched_s) * 1e3)
        # The worker's next batch goes first: its outputs will lie in the other area.
        self._dispatch()
        members = job.members
        self.metrics.batch_sizes[len(members)] += 1
        views = result.outputs.views
        start = 0
        for member in members:
            if member.done or now_s > member.deadline_s:
                self._figures(member).late_total += 1
                self._expire(member)
            else:
                end = start + member.rows
                mine = views if len(members) == 1 else [view[start:end] for view in views]
                self._answer(member, job, result, mine, now_s)
            start += member.rows
        self._look_idle()

    def _answer(
        self, pending: Pending, batch: Batch, result: Ran, views: list[Array], now_s: float
    ) -> None:
        waited_ms = (batch.dispatched_s - pending.received_s) * 1e3
        batch_ms = 0.0
        if self._max_delay_s:
            lone_since_s = max(pending.received_s, batch.idle_since_s)
            batch_ms = max(0.0, batch.dispatched_s - lone_since_s) * 1e3
        total_ms = (now_s - pending.received_s) * 1e3
        self._figures(pending).record(
            now_s,
            PriorityClass.of(pending.priority),
            queue_ms=waited_ms - batch_ms,
            batch_ms=batch_ms,
            infer_ms=result.infer_ms,
            total_ms=total_ms,
        )
        pending.resolve(self._answers.make(pending, result, views, waited_ms, total_ms))

    def _halve(self, members: list[Pending], error: RequestError) -> None:
        """Fail a single request; run the halves of a batch again, so that the guilty one stands alone."""
        left = [member for member in members if not member.done]
        if len(left) == 1:
            self._figures(left[0]).failed[error.code] += 1
            left[0].resolve(error)
        elif left:
            middle = len(left) // 2
            self._again.extend((left[:middle], left[middle:]))

    def job_lost(self, job: Batch, why: str) -> None:
        """Run a dead worker's requests again, each alone, since one of them may have killed it."""
        for member in job.members:
            if member.done:
                continue
            if self._stopping:
                self._refuse(member, RequestError(ErrorCode.NOT_READY, why))
            elif member.attempts < MAX_ATTEMPTS:
                self._again.append([member])
            else:
                self._figures(member).failed[ErrorCode.WORKER_LOST] += 1
                member.resolve(
                    RequestError(
                        ErrorCode.WORKER_LOST,
                        f"{member.attempts} workers ended with this request: {why}",
                        hint="if it happens again, the model cannot take that input",
                    )
                )
        self._dispatch()

    def worker_free(self) -> None:
        """Give a worker that came free its next batch."""
        self._dispatch()

    def pool_failed(self, why: str) -> None:
        """Refuse what waits: no worker stays alive."""
        error = RequestError(ErrorCode.NOT_READY, f"{self.manifest.key} keeps failing: {why}")
        for pending in [*self._queue.clear(), *(each for part in self._again for each in part)]:
            self._refuse(pending, error)
        self._again.clear()

    def _wait_for_company(self, worker: Worker[Batch], now_s: float) -> bool:
        """Say whether a lone request should wait for others (`max_delay_ms`, off by default)."""
        if not self._max_delay_s or not len(self._queue):
            return False
        idle_since_s = worker.idle_since_s
        until_s = waits_until_s(
            self._queue, self.curve, self._max_rows, idle_since_s, self._max_delay_s
        )
        if now_s >= until_s - _EARLY_S:
            return False
        if self._delay is not None:
            self._delay.cancel()
        self._delay = self._loop.call_later(until_s - now_s, self._delay_over)
        return True

    def _delay_over(self) -> None:
        self._delay = None
        self._dispatch()

    def _expire(self, pending: Pending) -> None:
        left_s = pending.deadline_s - time.monotonic()
        if pending.done:
            return
        if left_s > _EARLY_S:
            # Timers may fire up to 1 ms early; the clock decides.
            pending.timer = self._loop.call_later(left_s, self._expire, pending)
            return
        where = "while it waited" if pending.ticket else "while the model ran"
        deadline_ms = (pending.deadline_s - pending.received_s) * 1e3
        self._refuse(
            pending,
            RequestError(
                ErrorCode.DEADLINE_EXCEEDED, f"the deadline of {deadline_ms:g} ms passed {where}"
            ),
        )

    def _refuse(self, pending: Pending, error: RequestError) -> None:
        self._queue.remove(pending)
        self._outlook.given_up(pending, error, time.monotonic())
        if not pending.done:
            self._figures(pending).refused[error.code] += 1
            pending.resolve(error)
        self._look_idle()

    def _look_idle(self) -> None:
        if not self.busy:
            self._idle.set()

    # Its life.

    async def start(self) -> None:
        """Start the workers; raises `BackendError` if the model cannot be served."""
        await self._pool.start()
        words = self._pool.first_words
        assert words is not None
        for rows, ms in words.curve:
            self.curve.observe(rows, ms)
        self._pool.grow(self._spec.workers or self._worker_count(words.intra_op_threads))

    def _worker_count(self, threads: int) -> int:
        """Return how many workers keep the cores busy; short inferences never need a second."""
        if self.curve.mean_ms(1) < _ONE_WORKER_BELOW_MS:
            return 1
        return max(1, self._cores // threads)

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, answer those accepted for up to `drain_s`, and end the workers."""
        self._stopping = True
        try:
            async with asyncio.timeout(drain_s):
                while self.busy:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass  # What could not be drained is refused below.
        error = RequestError(ErrorCode.NOT_READY, f"{self.manifest.key} was unloaded")
        for pending in [*self._queue.clear(), *(each for part in self._again for each in part)]:
            self._refuse(pending, error)
        self._again.clear()
        await self._pool.stop()

    def hold_back(self, shares: Shares) -> None:
        """Use only so much of the batch and the workers from now on; at least one of each."""
        most = self._spec.max_batch if self.manifest.is_batched else 1
        self._max_rows = max(1, int(most * shares.batch))
        self._pool.share = shares.workers

    def check(self, now_s: float) -> None:
        """Supervise the workers; called about once a second."""
        self._pool.check(now_s)

    # What it says of itself.

    @property
    def busy(self) -> bool:
        """Say whether requests wait or run."""
        return bool(len(self._queue) or self._again or self._pool.jobs())

    def rss_bytes(self) -> int | None:
        """Return the workers' resident memory together; `None` without workers."""
        return self._pool.rss_bytes()

    @property
    def computed_total(self) -> int:
        """Return how many requests its workers answered, whoever asked."""
        return self.metrics.answered.total() + self._lent.answered.total()

    @property
    def restarts(self) -> int:
        """Return how many workers ended and were replaced."""
        return self._pool.restarts

    def stalled_ms(self, now_s: float) -> float:
        """Return for how long every worker has held its job; 0 while one is free."""
        if self._pool.free_worker() is not None:
            return 0.0
        return min((now_s - since_s for _, since_s in self._pool.jobs()), default=0.0) * 1e3

    def longest_job_ms(self) -> float:
        """Return what the largest batch in hand nearly always stays below."""
        return max((self.curve.bound_ms(batch.rows) for batch, _ in self._pool.jobs()), default=0.0)

    def replace_workers(self, kind: str, what: str) -> None:
        """End all workers, so that new ones prove themselves; what they have goes to those."""
        self._pool.replace(kind, what)

    @property
    def workers_ready(self) -> int:
        """Return how many workers serve now."""
        return self._pool.ready_count

    @property
    def state(self) -> ModelState:
        """Return whether the model can answer."""
        return ModelState.STOPPING if self._stopping else self._pool.state

    @property
    def reason(self) -> str:
        """Return why it cannot."""
        return "it is being unloaded" if self._stopping else self._pool.reason

    def sample(self, now_s: float, *, active: bool) -> ModelSample:
        """Return the model's figures now."""
        metrics = self.metrics
        p50, p95, p99 = metrics.percentiles_ms(now_s, Phase.TOTAL, 0.50, 0.95, 0.99)
        words = self._pool.first_words
        return ModelSample(
            model=self.manifest.model,
            version=self.manifest.version,
            variant=self.manifest.variant,
            digest=self.bundle.digest,
            state=self.state,
            active=active,
            deadline_ms=self.deadline_ms,
            worker_pids=self._pool.pids(),
            intra_op_threads=words.intra_op_threads if words else 0,
            restarts=self._pool.restarts,
            queue_depth=len(self._queue),
            in_flight=sum(len(batch.members) for batch, _ in self._pool.jobs()),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            infer_p50_ms=metrics.percentiles_ms(now_s, Phase.INFER, 0.5)[0],
            rate_per_s=metrics.rate_per_s(now_s),
            requests_total=metrics.requests_total,
            answered_total=metrics.answered.total(),
            refused_total=metrics.refused.total(),
            failed_total=metrics.failed.total(),
            late_total=metrics.late_total,
            cached_total=metrics.cached_total,
            rss_bytes=self._pool.rss_bytes(),
            reason=self.reason,
        )
