"""Jobs as lines for a terminal: how far one is, what it found, all of a device."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

from edgeconsole.durations import duration_text
from edgeconsole.optimization_table import report_lines
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.text import printable


class ProgressLine:
    """How far a job is, on stderr: one line on a terminal, else a line for each new step."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._in_place = sys.stderr.isatty()
        self._last = ""

    def show(self, job: Job) -> None:
        """Show it in place of what was shown before."""
        if self._silent:
            return
        if self._in_place:
            width = shutil.get_terminal_size().columns
            text = printable(f"{step(job)}{_left(job)}")[: width - 1]
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
            self._last = text
        elif (text := step(job, count=False)) != self._last:
            print(printable(text), file=sys.stderr, flush=True)
            self._last = text

    def clear(self) -> None:
        """Leave the terminal's line empty."""
        if self._in_place and self._last:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._last = ""


def step(job: Job, *, count: bool = True) -> str:
    """Return what a job does now."""
    if job.state is JobState.QUEUED:
        return f"queued, {job.ahead} before it" if job.ahead else "queued"
    if job.progress is None:
        return "starting"
    said = job.progress
    number = f" {said.done}/{said.of}" if count and said.of > 1 else ""
    return f"{said.stage} {said.name}{number}".strip()


def found_lines(
    device: str, job: Job, report: OptimizationReport, *, activated: bool = False
) -> Iterator[str]:
    """Yield what a job found, as the local program says it, and how to deploy it."""
    yield from report_lines(report)
    during = job.serving_p99_ms_during
    if during is not None:
        before = job.serving_p99_ms_before
        known = "unknown" if before is None else f"{before:.1f} ms"
        yield f"what is served had a p99 of {known} before, {during:.1f} ms while it ran"
    if job.recommended is None:
        return
    yield ""
    key = job.recommended.key
    yield f"{key} is active" if activated else f"deploy it: edgeconsole activate {device} {key}"
    threads = next((each.threads for each in report.variants if each.name == job.variant), 1)
    if threads > 1:
        yield f"it was measured with {threads} threads: intra_op_threads = {threads} in device.toml"


def job_lines(devices: Sequence[tuple[str, Sequence[Job]]]) -> Iterator[str]:
    """Yield a table of jobs."""
    yield f"{'DEVICE':<16}{'JOB':<10}{'STATE':<11}{'BUNDLE':<32}{'LEVEL':<19}WHAT"
    for device, jobs in devices:
        for job in jobs:
            yield (
                f"{device:<15} {job.job_id:<9} {job.state:<10} {job.bundle.key:<31} "
                f"{job.level:<18} {_what(job)}"
            )


def _what(job: Job) -> str:
    match job.state:
        case JobState.QUEUED:
            return f"{job.ahead} before it, ordered by {job.actor}"
        case JobState.RUNNING:
            return f"{step(job)}{_left(job)}"
        case JobState.DONE:
            ended = datetime.fromtimestamp(job.ended_unix_s or 0.0).astimezone()
            took = duration_text(job.took_s or 0.0)
            return f"{job.variant or 'nothing'} recommended, {ended:%Y-%m-%d %H:%M}, took {took}"
    return job.reason


def _left(job: Job) -> str:
    if job.progress is None:
        return ""
    return f" · at most {duration_text(job.progress.left_s)} more"
