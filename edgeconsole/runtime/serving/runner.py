"""One loaded model: its queue, its worker, and the supervision that replaces the worker.

A request's way: `submit` → queue → `_dispatch` (tensors to shared memory) → worker → `_ran` → answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BackendError, ErrorCode, RequestError
from edgeconsole.protocol.telemetry import ModelSample, ModelState, Severity
from edgeconsole.runtime.serving.batcher import Answer, Pending, RequestBatcher
from edgeconsole.runtime.serving.channel import (
    FromWorker,
    Load,
    NotLoaded,
    Ran,
    Ready,
    Run,
    RunFailed,
)
from edgeconsole.runtime.serving.metrics import PerformanceMetrics
from edgeconsole.runtime.serving.process import WorkerProcess
from edgeconsole.specs import ServingConfig

START_TIMEOUT_S: Final = 60.0
MAX_ATTEMPTS: Final = 2
"""A request whose worker died goes once more, to the next worker; then it may be the cause."""
CRASH_WINDOW_S: Final = 60.0
CRASH_LOOP: Final = 5
"""So many ends within the window make the model `failed`; it is still tried, slowly."""
MAX_BACKOFF_S: Final = 10.0
_EARLY_S: Final = 0.0002

OnEvent = Callable[[Severity, str, str], None]


class ModelRunner:
    """Serves one bundle from one worker process."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        deadline_ms: float,
        intra_op_threads: int,
        memory_limit_mb: int | None,
        serving: ServingConfig,
        on_event: OnEvent,
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.deadline_ms = deadline_ms
        self.metrics = PerformanceMetrics()
        self.state = ModelState.STARTING
        self.reason = ""
        self.restarts = 0
        self._threads = intra_op_threads
        self._memory_limit_bytes = memory_limit_mb and memory_limit_mb << 20
        self._serving = serving
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._queue = RequestBatcher(serving.max_queue)
        self._worker: WorkerProcess | None = None
        self._worker_ready = False
        self._worker_started_s = 0.0
        self._not_loaded = ""
        self._running: Pending | None = None
        self._running_seq = 0
        self._first_ready: asyncio.Future[None] = self._loop.create_future()
        self._crashes: deque[float] = deque(maxlen=CRASH_LOOP)
        self._respawn: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    # The way of a request.

    def submit(self, pending: Pending) -> None:
        """Take a checked request; it is answered or refused by its deadline.

        Raises:
            RequestError: NOT_READY while the model is failed or stopping, QUEUE_FULL.
        """
        self.metrics.requests_total += 1
        if self.state in (ModelState.FAILED, ModelState.STOPPING):
            self.metrics.refused_total += 1
            raise RequestError(
                ErrorCode.NOT_READY, f"{self.manifest.key} is {self.state.value}: {self.reason}"
            )
        try:
            self._queue.push(pending)
        except RequestError:
            self.metrics.refused_total += 1
            raise
        self._idle.clear()
        delay_s = pending.deadline_s - time.monotonic()
        pending.timer = self._loop.call_later(max(0.0, delay_s), self._expire, pending)
        self._dispatch()

    def cancel(self, pending: Pending) -> None:
        """Drop a request on its client's wish; a result that is being computed is ignored."""
        self._refuse(pending, RequestError(ErrorCode.CANCELLED, "the client cancelled the request"))

    def _dispatch(self) -> None:
        """Give the worker, if it is free, the request that goes next."""
        worker = self._worker
        while worker is not None and self._worker_ready and self._running is None:
            pending = self._queue.pop()
            if pending is None:
                self._idle.set()
                return
            try:
                placed = worker.channel.inputs.write(pending.inputs)
            except RequestError as error:
                self.metrics.refused_total += 1
                pending.resolve(error)
                continue
            pending.attempts += 1
            pending.dispatched_s = time.monotonic()
            self._running = pending
            self._running_seq += 1
            worker.run(Run(self._running_seq, placed))

    def _ran(self, worker: WorkerProcess, message: Ran) -> None:
        pending, self._running = self._running, None
        if pending is None or message.seq != self._running_seq:
            return
        now_s = time.monotonic()
        if pending.done:
            self.metrics.late_total += 1
        else:
            total_ms = (now_s - pending.received_s) * 1e3
            views = worker.channel.outputs.read(message.outputs)
            named = zip((spec.name for spec in self.manifest.outputs), views, strict=True)
            wanted = pending.output_names
            answer = Answer(
                model=self.manifest.model,
                version=self.manifest.version,
                variant=self.manifest.variant,
                outputs=[(name, view) for name, view in named if not wanted or name in wanted],
                queue_ms=(pending.dispatched_s - pending.received_s) * 1e3,
                infer_ms=message.infer_ms,
                total_ms=total_ms,
            )
            self.metrics.answered(now_s, total_ms, message.infer_ms)
            pending.resolve(answer)
        self._dispatch()

    def _run_failed(self, message: RunFailed) -> None:
        pending, self._running = self._running, None
        if pending is not None and message.seq == self._running_seq and not pending.done:
            self.metrics.failed_total += 1
            pending.resolve(RequestError(ErrorCode.MODEL_FAILED, message.reason))
        self._dispatch()

    def _expire(self, pending: Pending) -> None:
        left_s = pending.deadline_s - time.monotonic()
        if left_s > _EARLY_S:
            # Timers may fire up to 1 ms early; the clock decides.
            pending.timer = self._loop.call_later(left_s, self._expire, pending)
            return
        where = "while the model ran" if pending is self._running else "while it waited"
        deadline_ms = (pending.deadline_s - pending.received_s) * 1e3
        self._refuse(
            pending,
            RequestError(
                ErrorCode.DEADLINE_EXCEEDED, f"the deadline of {deadline_ms:g} ms passed {where}"
            ),
        )

    def _refuse(self, pending: Pending, error: RequestError) -> None:
        if pending.done:
            return
        self.metrics.refused_total += 1
        waiting = pending is not self._running
        pending.resolve(error)
        if waiting:
            self._queue.forget()
            if not len(self._queue) and self._running is None:
                self._idle.set()

    # The worker's life.

    async def start(self) -> None:
        """Start the worker and wait until its golden outputs were right.

        Raises:
            BackendError: the model cannot be served; the runner is stopped.
        """
        self._spawn()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.shield(self._first_ready)
        except TimeoutError as error:
            await self.stop(drain_s=0.0)
            raise BackendError(
                f"{self.manifest.key}: no worker came up in {START_TIMEOUT_S:.0f} s"
            ) from error
        except BackendError:
            await self.stop(drain_s=0.0)
            raise

    async def stop(self, drain_s: float) -> None:
        """Refuse new requests, answer those accepted for up to `drain_s`, and end the worker."""
        if self._respawn is not None:
            self._respawn.cancel()
        self.state = ModelState.STOPPING
        self.reason = "it is being unloaded"
        if not self._idle.is_set():
            try:
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
            except TimeoutError:
                pass  # What could not be drained is refused below.
        worker, self._worker = self._worker, None
        left = [*self._queue.clear(), *([self._running] if self._running else [])]
        self._running = None
        for pending in left:
            self.metrics.refused_total += 1
            pending.resolve(RequestError(ErrorCode.NOT_READY, f"{self.manifest.key} was unloaded"))
        if worker is not None:
            await worker.stop()

    def check(self, now_s: float) -> None:
        """Supervise: end a worker that hangs or leaks. Called about once a second."""
        worker = self._worker
        if worker is None:
            return
        hang_s = self._serving.hang_timeout_s
        if not self._worker_ready:
            if now_s - self._worker_started_s > START_TIMEOUT_S:
                worker.kill()
        elif self._running is not None and now_s - self._running.dispatched_s > hang_s:
            self._on_event(
                Severity.CRITICAL,
                "worker_hung",
                f"{self.manifest.key}: worker {worker.pid} has not answered for {hang_s:g} s; "
                "replaced",
            )
            worker.kill()
        elif self._memory_limit_bytes is not None:
            self._check_memory(worker, self._memory_limit_bytes)

    def _check_memory(self, worker: WorkerProcess, limit_bytes: int) -> None:
        rss_bytes = worker.rss_bytes() or 0
        if rss_bytes > limit_bytes:
            self._on_event(
                Severity.WARNING,
                "worker_over_memory",
                f"{self.manifest.key}: worker {worker.pid} uses {rss_bytes >> 20} MiB, "
                f"limit {limit_bytes >> 20} MiB; replaced",
            )
            worker.kill()

    def _spawn(self) -> None:
        self._respawn = None
        self._worker_ready = False
        self._worker_started_s = time.monotonic()
        load = Load(str(self.bundle.path), self._threads)
        half_bytes = 2 * self._serving.max_message_bytes
        try:
            self._worker = WorkerProcess(
                load, half_bytes=half_bytes, on_message=self._on_message, on_exit=self._on_exit
            )
        except OSError as error:
            self._lost(f"could not be started: {error.strerror}")

    def _on_message(self, worker: WorkerProcess, message: FromWorker) -> None:
        if worker is not self._worker:
            return
        match message:
            case Ran():
                self._ran(worker, message)
            case RunFailed():
                self._run_failed(message)
            case Ready():
                self._ready(worker, message)
            case NotLoaded():
                self._not_loaded = message.reason

    def _ready(self, worker: WorkerProcess, message: Ready) -> None:
        self._worker_ready = True
        self.state = ModelState.READY
        self.reason = ""
        took = f"loaded in {message.load_ms:.0f} ms, golden self-test passed"
        self._on_event(
            Severity.INFO, "worker_ready", f"{self.manifest.key}: worker {worker.pid} {took}"
        )
        if not self._first_ready.done():
            self._first_ready.set_result(None)
        self._dispatch()

    def _on_exit(self, worker: WorkerProcess, why: str) -> None:
        if worker is not self._worker:
            return
        self._worker = None
        if self._not_loaded:
            why, self._not_loaded = self._not_loaded, ""
        else:
            why = f"worker {worker.pid} {why}"
        self._lost(why)

    def _lost(self, why: str) -> None:
        """Put the running request back or refuse it, and plan the next worker."""
        now_s = time.monotonic()
        self._worker_ready = False
        pending, self._running = self._running, None
        if pending is not None and not pending.done:
            self._retry(pending, why)
        if not len(self._queue):
            self._idle.set()
        if self.state is ModelState.STOPPING:
            return
        if not self._first_ready.done():
            self._first_ready.set_exception(BackendError(f"{self.manifest.key}: {why}"))
            return
        self._crashes.append(now_s)
        recent = sum(1 for at in self._crashes if now_s - at < CRASH_WINDOW_S)
        self.restarts += 1
        looping = recent >= CRASH_LOOP
        self.state = ModelState.FAILED if looping else ModelState.STARTING
        self.reason = why
        delay_s = 0.0 if recent <= 1 else min(MAX_BACKOFF_S, 0.1 * 2.0**recent)
        severity = Severity.CRITICAL if looping else Severity.WARNING
        then = f"the next starts in {delay_s:.1f} s" if delay_s else "the next starts now"
        self._on_event(severity, "worker_lost", f"{self.manifest.key}: {why}; {then}")
        if looping:
            for waiting in self._queue.clear():
                self.metrics.refused_total += 1
                waiting.resolve(
                    RequestError(ErrorCode.NOT_READY, f"{self.manifest.key} keeps failing: {why}")
                )
            self._idle.set()
        self._respawn = self._loop.call_later(delay_s, self._spawn)

    def _retry(self, pending: Pending, why: str) -> None:
        if pending.attempts < MAX_ATTEMPTS:
            try:
                self._queue.push(pending)
            except RequestError as error:
                self.metrics.refused_total += 1
                pending.resolve(error)
            return
        self.metrics.failed_total += 1
        pending.resolve(
            RequestError(
                ErrorCode.WORKER_LOST,
                f"{pending.attempts} workers ended with this request: {why}",
                hint="if it happens again with the same input, the model cannot take that input",
            )
        )

    # What it says of itself.

    @property
    def busy(self) -> bool:
        """Say whether requests wait or run."""
        return self._running is not None or len(self._queue) > 0

    def sample(self, now_s: float, *, active: bool) -> ModelSample:
        """Return the model's figures now."""
        metrics = self.metrics
        p50, p95, p99 = metrics.total.percentiles_ms(now_s, 0.50, 0.95, 0.99)
        worker = self._worker
        return ModelSample(
            model=self.manifest.model,
            version=self.manifest.version,
            variant=self.manifest.variant,
            digest=self.bundle.digest,
            state=self.state,
            active=active,
            deadline_ms=self.deadline_ms,
            worker_pids=(worker.pid,) if worker is not None and worker.alive else (),
            restarts=self.restarts,
            queue_depth=len(self._queue),
            in_flight=int(self._running is not None),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            infer_p50_ms=metrics.infer.percentiles_ms(now_s, 0.5)[0],
            rate_per_s=metrics.total.rate_per_s(now_s),
            requests_total=metrics.requests_total,
            answered_total=metrics.answered_total,
            refused_total=metrics.refused_total,
            failed_total=metrics.failed_total,
            late_total=metrics.late_total,
            rss_bytes=worker.rss_bytes() if worker is not None else None,
            reason=self.reason,
        )
