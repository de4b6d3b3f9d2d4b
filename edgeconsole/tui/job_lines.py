"""The fleet's optimisation jobs as a table. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.fleet.asking import HasNote
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.tui import format as fmt
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, Run, crop
from edgeconsole.tui.tabular import Head, table

JobKey = tuple[str, str]
"""A device and a job of it."""

STATE_ROLES: Final = {
    JobState.QUEUED: "muted",
    JobState.RUNNING: "accent",
    JobState.DONE: "ok",
    JobState.FAILED: "crit",
    JobState.CANCELLED: "warn",
}
_HEADS: Final = (
    Head("device", 1, right=False, most=18),
    Head("model", 4, right=False, most=32),
    Head("level", 7, right=False, most=17),
    Head("state", 1, right=False, most=9),
    Head("speed", 5, most=7),
    Head("time", 6, most=12),
    Head("what", 2, right=False, most=90),
)
_LEAST_WHAT: Final = 24
_UNHEARD_SHOWN: Final = 4


def keys(said: Sequence[DeviceJobs]) -> list[JobKey]:
    """Return what the table's rows are, top to bottom."""
    return [(each.device_id, job.job_id) for each in said for job in each.jobs]


def lines(
    said: Sequence[DeviceJobs],
    selected: JobKey | None,
    wall: datetime,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return the table, one line a job after the header, then who could not be asked."""
    shown: list[Line] = []
    rows = [(each, job) for each in said for job in each.jobs]
    if rows:
        heads = _heads(width)
        cells = [_cells(each, job, glyphs) for each, job in rows]
        header, *body = table(heads, cells, width - 2)
        shown.append((("  ", "text"), *header))
        for (each, job), line in zip(rows, body, strict=True):
            here = (each.device_id, job.job_id) == selected
            pointer = (f"{glyphs.pointer if here else ' '} ", "accent")
            shown.append((pointer, *(quiet(line) if each.note else line)))
    elif any(not each.note for each in said):
        shown += [(), ((" no optimisation job is known", "muted"),)]
    return [crop(line, width) for line in [*shown, *missing(said, "jobs", wall)]]


def _heads(width: int) -> tuple[Head, ...]:
    """Return the columns; what a job does gets at least so much that it can be understood."""
    room = max(_LEAST_WHAT, width - 60)
    return tuple(
        Head(head.title, head.rank, right=head.right, most=min(head.most, room))
        if head.title == "what"
        else head
        for head in _HEADS
    )


def quiet(line: Line) -> Line:
    """Return a row of a device that was not heard just now."""
    return tuple((text, "stale") for text, _ in line)


def _cells(each: DeviceJobs, job: Job, glyphs: Glyphs) -> list[Run]:
    del glyphs
    speedup = each.speedups.get(job.job_id)
    return [
        (fmt.escape(each.device_id), "strong"),
        (fmt.escape(job.bundle.key), "text"),
        (job.level.value, "muted"),
        (job.state.value, STATE_ROLES[job.state]),
        (speed(speedup), "text" if speedup is not None else "muted"),
        (time_text(job), "muted"),
        (fmt.escape(what(job)), "text"),
    ]


def speed(speedup: float | None) -> str:
    """Return how many times as fast something is."""
    return fmt.UNKNOWN if speedup is None else f"{speedup:.1f} ×"


def time_text(job: Job) -> str:
    """Return how long it goes on at most, or how long it took."""
    if job.progress is not None and not job.state.final:
        return f"≤ {duration_text(job.progress.left_s)}"
    return fmt.UNKNOWN if job.took_s is None else duration_text(job.took_s)


def what(job: Job) -> str:
    """Return what it does, what it recommends, or why it has ended."""
    if job.state is JobState.QUEUED:
        return f"{job.ahead} before it, for {job.actor}"
    if job.state is JobState.RUNNING:
        said = job.progress
        if said is None:
            return "starting"
        number = f" {said.done} of {said.of}:" if said.of > 1 else ""
        return f"{said.stage}{number} {said.name}".strip()
    if job.state is JobState.DONE:
        return f"→ {job.variant}" if job.variant else "nothing keeps to the constraints"
    return job.reason or fmt.UNKNOWN


def missing(said: Sequence[HasNote], what: str, wall: datetime) -> list[Line]:
    """Return who did not answer: with jobs, or `what` it is, of before, or never heard."""
    silent = [each for each in said if each.note]
    if not silent:
        return []
    shown: list[Line] = [(), ((" not asked just now", "muted"),)]
    for each in silent[:_UNHEARD_SHOWN]:
        heard = each.heard_unix_s
        when = (
            f"its {what} are unknown" if heard is None else f"as of {fmt.time_of_day(heard, wall)}"
        )
        role = "unknown" if heard is None else "stale"
        text = f"   {fmt.escape(each.device_id)}: {when}; {fmt.escape(each.note)}"
        shown.append(((text, role),))
    more = len(silent) - _UNHEARD_SHOWN
    if more > 0:
        shown.append(((f"   … and {more:,} more", "muted"),))
    return shown
