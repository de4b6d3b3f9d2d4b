"""`JobService`: the queue of optimisation jobs, and the one that runs.

Everything a job does happens in its own process; a job that crashes, hangs or fills the disk ends
with a reason, and serving does not notice. What a record on disk does not say is done again after
a restart: the optimiser's cache makes that short.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.errors import EdgeConsoleError, ErrorCode, RequestError, StoreError
from edgeconsole.protocol.control import Optimize, OptimizeReply
from edgeconsole.protocol.jobs import Job, JobProgress, JobState
from edgeconsole.protocol.optimization import Constraints, OptimizationReport
from edgeconsole.protocol.telemetry import ModelSample, Severity
from edgeconsole.runtime.jobs import cache
from edgeconsole.runtime.jobs.command_line import arguments_of
from edgeconsole.runtime.jobs.process import Ended, JobProcess
from edgeconsole.runtime.jobs.records import JobRecord, JobRecords
from edgeconsole.runtime.jobs.results import named, read_report, recommended_digest, take_in
from edgeconsole.runtime.jobs.witness import ServingWitness
from edgeconsole.runtime.models.store import ModelStore

OPTIMIZER: Final = ("-m", "edgeconsole.runtime.optimizer.cli")
MAX_QUEUED: Final = 8
"""Overflow rule: one more is refused."""
KEPT: Final = 20
"""Overflow rule: of finished jobs the oldest is forgotten."""
MAX_STARTS: Final = 3
"""A job during which the agent ended so often is not started again."""
GRACE_S: Final = 300.0
"""How long past its budget a job may take for what it has begun."""
_LOOK_S: Final = 1.0
_AGENT_ENDS: Final = "the agent is going down"

OnEvent = Callable[[Severity, str, str], None]
_log = logging.getLogger("edgeconsole.agent")


class _Entry:
    """A job as the service holds it."""

    def __init__(self, number: int, job: Job) -> None:
        self.number = number
        self.job = job
        self.process: JobProcess | None = None
        self.started_s: float | None = None
        self.cancelled_by = ""
        self.over = asyncio.Event()
        if job.state.final:
            self.over.set()

    def change(self, **fields: object) -> None:
        """Change what is known of the job."""
        self.job = msgspec.structs.replace(self.job, **fields)

    def take_progress(self, progress: JobProgress) -> None:
        """Keep how far it is; the latest word counts."""
        self.change(progress=progress)

    @property
    def title(self) -> str:
        """Return what it is in words."""
        return f"{self.job.job_id}, {self.job.level} of {self.job.bundle.key}"


class JobService:
    """One device's optimisation jobs."""

    def __init__(
        self,
        records: JobRecords,
        cache_path: Path,
        store: Callable[[], ModelStore],
        samples: Callable[[], Iterable[ModelSample]],
        on_event: OnEvent,
        *,
        engines: Sequence[str] = (),
        program: Sequence[str] = OPTIMIZER,
        grace_s: float = GRACE_S,
    ) -> None:
        self._records = records
        self._cache = cache_path
        self._store = store
        self._samples = samples
        self._on_event = on_event
        self._engines = engines
        self._program = program
        self._grace_s = grace_s
        self._entries: dict[str, _Entry] = {}
        self._last_number = 0
        self._ordering = asyncio.Lock()
        self._begun = asyncio.Event()
        self._more = asyncio.Event()
        self._closing = False
        self._deferred = ""
        """Why jobs wait; empty: they do not."""
        self._calm = asyncio.Event()
        self._calm.set()

    async def open(self) -> None:
        """Read what was ordered before; raises `StoreError`."""
        found, damaged = await asyncio.to_thread(self._records.load)
        for record in found:
            entry = _Entry(record.number, record.job)
            if not record.job.state.final:
                entry.change(state=JobState.QUEUED, progress=None)
            self._entries[record.job.job_id] = entry
            self._last_number = max(self._last_number, record.number)
        for name in damaged:
            await asyncio.to_thread(self._records.forget, name)
            self._on_event(
                Severity.WARNING, "job_failed", f"{name}: its record is damaged and was removed"
            )

    def begin(self) -> None:
        """Let jobs run: the models are up."""
        self._begun.set()

    def defer(self, reason: str) -> None:
        """Let jobs wait for as long as there is a reason; what runs stands still within a second."""
        self._deferred = reason
        if reason:
            self._calm.clear()
        else:
            self._calm.set()

    async def run(self) -> None:
        """Run what is queued, one after the other, until cancelled; then end what runs."""
        try:
            await self._begun.wait()
            while True:
                entry = next(iter(self._waiting()), None)
                if entry is None:
                    self._more.clear()
                    await self._more.wait()
                    continue
                await self._calm.wait()
                if entry.job.state is not JobState.QUEUED:
                    continue  # It was cancelled meanwhile.
                try:
                    await self._work(entry)
                except Exception:  # noqa: BLE001
                    # A defect of ours must cost this job only; serving goes on.
                    _log.exception("job %s could not be handled", entry.job.job_id)
                    await self._finish(entry, JobState.FAILED, "the agent could not handle the job")
        finally:
            self._closing = True

    # What consoles may ask for.

    async def order(self, command: Optimize, bundle: Bundle) -> OptimizeReply:
        """Queue a job, durably, unless its command did; raises `RequestError` or `StoreError`."""
        async with self._ordering:
            if (known := self.ordered(command)) is not None:
                return known
            if self._closing:
                raise RequestError(ErrorCode.SHUTTING_DOWN, _AGENT_ENDS)
            waiting = self._waiting()
            if len(waiting) >= MAX_QUEUED:
                raise RequestError(
                    ErrorCode.QUEUE_FULL,
                    f"{len(waiting)} jobs wait already",
                    hint="wait until one is done, or cancel one",
                )
            self._last_number += 1
            entry = _Entry(self._last_number, _job(command, bundle))
            try:
                await asyncio.to_thread(self._records.save, JobRecord(entry.number, entry.job))
            except StoreError:
                await asyncio.to_thread(self._records.forget, entry.job.job_id)
                raise
            ahead = sum(not each.job.state.final for each in self._entries.values())
            self._entries[entry.job.job_id] = entry
        self._on_event(
            Severity.INFO,
            "job_queued",
            f"{command.actor} ordered {entry.title}, {command.budget_s:.0f} s at most",
        )
        self._more.set()
        return OptimizeReply(command.id, entry.job.job_id, ahead)

    def ordered(self, command: Optimize) -> OptimizeReply | None:
        """Return the reply to a command that queued a job before; `None`: it did not."""
        live = [each.job_id for each in self.listed() if not each.state.final]
        for job_id, entry in self._entries.items():
            if command.command_id and entry.job.command_id == command.command_id:
                ahead = live.index(job_id) if job_id in live else 0
                return OptimizeReply(command.id, job_id, ahead)
        return None

    def working(self) -> dict[str, str]:
        """Return which bundles jobs that run or wait work on, each with its job."""
        live = [each for each in self._entries.values() if not each.job.state.final]
        return {each.job.bundle.digest: each.job.job_id for each in live}

    def listed(self, job_id: str = "") -> tuple[Job, ...]:
        """Return one job, or all: running, queued in their order, finished newest first.

        Raises `RequestError` for a job that is not known.
        """
        running = [each for each in self._entries.values() if each.job.state is JobState.RUNNING]
        live = [*running, *self._waiting()]
        jobs = [msgspec.structs.replace(each.job, ahead=at) for at, each in enumerate(live)]
        over = [each for each in self._entries.values() if each.job.state.final]
        jobs += [each.job for each in sorted(over, key=lambda each: -each.number)]
        if not job_id:
            return tuple(jobs)
        self._known(job_id)
        return tuple(each for each in jobs if each.job_id == job_id)

    async def report(self, job_id: str) -> tuple[Job, OptimizationReport]:
        """Return a job and its report; raises `RequestError` where there is none."""
        entry = self._known(job_id)
        report = None
        if entry.job.state.final:
            report = await asyncio.to_thread(self._records.report, job_id)
        if report is None:
            reason = f": {entry.job.reason}" if entry.job.reason else ""
            raise RequestError(
                ErrorCode.CONFLICT, f"{job_id} is {entry.job.state} and has no report{reason}"
            )
        return entry.job, report

    async def cancel(self, job_id: str, actor: str) -> str:
        """End a job that is queued or running, within two seconds; returns a sentence.

        Raises `RequestError` for one that is not known or is over.
        """
        entry = self._known(job_id)
        if entry.job.state.final:
            raise RequestError(ErrorCode.CONFLICT, f"{job_id} is {entry.job.state} already")
        entry.cancelled_by = entry.cancelled_by or actor
        if entry.process is not None:
            await entry.process.stop(f"cancelled by {actor}")
        elif entry.job.state is JobState.QUEUED:
            await self._finish(entry, JobState.CANCELLED, f"cancelled by {actor}")
        await entry.over.wait()
        if entry.job.state is not JobState.CANCELLED:
            raise RequestError(
                ErrorCode.CONFLICT, f"{job_id} was {entry.job.state} before it could be cancelled"
            )
        return f"{job_id} is cancelled; what it measured is kept"

    # One job.

    async def _work(self, entry: _Entry) -> None:
        """Do one job from its start to its end; what goes wrong is its reason."""
        if entry.job.starts >= MAX_STARTS:
            reason = f"the agent ended {entry.job.starts} times while it ran"
            await self._finish(entry, JobState.FAILED, reason)
            return
        witness = ServingWitness(self._samples)
        entry.started_s = time.monotonic()
        entry.change(
            state=JobState.RUNNING,
            starts=entry.job.starts + 1,
            started_unix_s=time.time(),
            progress=None,
        )
        try:
            await self._save(entry)
            bundle = await asyncio.to_thread(self._store().get, entry.job.bundle.digest)
            if bundle is None:
                raise StoreError("its bundle is no longer in the store")
            found = await self._result(entry, bundle, witness)
            before_ms = entry.job.serving_p99_ms_before
            entry.change(
                serving_p99_ms_before=witness.before_ms if before_ms is None else before_ms,
                serving_p99_ms_during=witness.during_ms,
            )
            if isinstance(found, str):
                state = JobState.CANCELLED if entry.cancelled_by else JobState.FAILED
                await self._finish(entry, state, found)
            else:
                await self._keep(entry, found, bundle)
                await self._finish(entry, JobState.DONE, "")
        except EdgeConsoleError as error:
            await self._finish(entry, JobState.FAILED, str(error))
        except asyncio.CancelledError:
            await self._put_back(entry)
            raise

    async def _result(
        self, entry: _Entry, bundle: Bundle, witness: ServingWitness
    ) -> OptimizationReport | str:
        """Run the job's process to its end; returns its report, or why there is none."""
        out = self._records.out(entry.job.job_id)
        await asyncio.to_thread(self._records.clear_out, entry.job.job_id)
        await asyncio.to_thread(cache.prune, self._cache)
        if entry.cancelled_by:
            return f"cancelled by {entry.cancelled_by}"
        arguments = arguments_of(entry.job, bundle, self._cache, out, self._engines)
        try:
            process = JobProcess([*self._program, *arguments], entry.take_progress)
        except OSError as error:
            return f"the optimiser could not be started: {error.strerror}"
        entry.process = process
        try:
            ended = await self._watch(entry, process, witness)
        finally:
            await process.stop(_AGENT_ENDS)
            entry.process = None
        return read_report(ended, bundle.manifest.model)

    async def _watch(self, entry: _Entry, process: JobProcess, witness: ServingWitness) -> Ended:
        """Wait for the end, looking at those who are served; hold what is to wait, end what takes too long."""
        limit_s = entry.job.budget_s + self._grace_s
        until_s, held = time.monotonic() + limit_s, False
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    return await process.ended()
            except TimeoutError:
                witness.look()
            if held is not bool(self._deferred):
                held = not held
                await asyncio.to_thread(process.hold, held=held)
                what = f"stands still: {self._deferred}" if held else "goes on"
                self._on_event(Severity.INFO, "job_deferred", f"{entry.title} {what}")
            if held:
                until_s += _LOOK_S  # Standing still is not its fault.
            if time.monotonic() > until_s:
                process.kill(f"it did not end within {limit_s:.0f} s and was killed")

    async def _keep(self, entry: _Entry, report: OptimizationReport, bundle: Bundle) -> None:
        """Keep the report, and put the bundles that fit in the store; raises `EdgeConsoleError`."""
        job_id = entry.job.job_id
        await asyncio.to_thread(self._records.save_report, job_id, report)
        stored = await asyncio.to_thread(
            take_in, self._store(), self._records.out(job_id), report, bundle
        )
        digest = recommended_digest(report)
        entry.change(
            variant=report.recommended or "",
            recommended=next((each for each in stored if each.digest == digest), None),
            stored=stored,
        )

    async def _put_back(self, entry: _Entry) -> None:
        """Let a job wait for the agent's next start, which this end does not count against."""
        if entry.cancelled_by:
            await self._finish(entry, JobState.CANCELLED, f"cancelled by {entry.cancelled_by}")
        if not entry.job.state.final:
            entry.change(state=JobState.QUEUED, starts=max(0, entry.job.starts - 1), progress=None)
            await self._save(entry)
        # Whoever waits for its end need not wait for ours.
        entry.over.set()

    async def _finish(self, entry: _Entry, state: JobState, reason: str) -> None:
        """Say and write down how a job ended; it is so even if the disk refuses."""
        if entry.job.state.final:
            return
        took_s = None if entry.started_s is None else time.monotonic() - entry.started_s
        entry.change(
            state=state, reason=reason, progress=None, ended_unix_s=time.time(), took_s=took_s
        )
        severity = Severity.WARNING if state is JobState.FAILED else Severity.INFO
        self._on_event(severity, f"job_{state}", f"{entry.title}: {_outcome(entry.job)}")
        try:
            await self._save(entry)
            await asyncio.to_thread(self._records.clear_out, entry.job.job_id)
            await self._forget_old()
        finally:
            entry.over.set()

    async def _forget_old(self) -> None:
        over = [each for each in self._entries.values() if each.job.state.final]
        for old in sorted(over, key=lambda each: each.number)[:-KEPT]:
            self._entries.pop(old.job.job_id, None)
            await asyncio.to_thread(self._records.forget, old.job.job_id)

    async def _save(self, entry: _Entry) -> None:
        try:
            await asyncio.to_thread(self._records.save, JobRecord(entry.number, entry.job))
        except StoreError as error:
            _log.warning("%s; after a restart the job is done again", error)

    def _waiting(self) -> list[_Entry]:
        waiting = [each for each in self._entries.values() if each.job.state is JobState.QUEUED]
        return sorted(waiting, key=lambda each: each.number)

    def _known(self, job_id: str) -> _Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            raise RequestError(
                ErrorCode.UNKNOWN_JOB,
                f"there is no job {job_id!r}",
                hint="`edgeconsole jobs` lists those there are",
            )
        return entry


def _job(command: Optimize, bundle: Bundle) -> Job:
    return Job(
        job_id=secrets.token_hex(4),
        state=JobState.QUEUED,
        bundle=named(bundle),
        level=command.level,
        objective=command.objective,
        constraints=Constraints(
            max_drop=command.max_drop,
            max_p99_ms=command.max_p99_ms,
            max_memory_bytes=command.max_memory_bytes,
            max_size_bytes=command.max_size_bytes,
        ),
        budget_s=command.budget_s,
        actor=command.actor,
        command_id=command.command_id,
        queued_unix_s=time.time(),
    )


def _outcome(job: Job) -> str:
    if job.state is not JobState.DONE:
        return job.reason
    if job.recommended is None:
        return "nothing keeps to the constraints"
    return f"{job.variant} is recommended, and its bundle is in the store"
