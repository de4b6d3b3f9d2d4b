"""What can be done about a job, and what the dialog says of it. Pure; no Textual."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgeconsole.fleet.store import DeviceView
from edgeconsole.fleet.tasks import ActivateTask, CancelTask
from edgeconsole.protocol.jobs import Job, JobBundle, JobState
from edgeconsole.tui import format as fmt
from edgeconsole.tui import job_lines
from edgeconsole.tui.runs import Line, crop


class JobAct(StrEnum):
    """What is done about a job."""

    CANCEL = "cancel"
    ACTIVATE = "activate"


_DROPPED: Final = "It will not start."
_ENDED: Final = "It ends without a report; what it measured is kept for the next one."
TITLES: Final = {JobAct.CANCEL: "Cancel the job", JobAct.ACTIVATE: "Activate what it recommends"}


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What was asked for, of which job, as it was when it was asked."""

    act: JobAct
    device_id: str
    job: Job

    @property
    def line(self) -> str:
        """Return it as one types it in a shell."""
        return f"edgeconsole {task(self, None).line(self.device_id)}"


def refusal(request: JobRequest, note: str) -> str:
    """Return why there is nothing to do, or nobody to do it; empty: there is."""
    job = request.job
    if note:
        return f"{request.device_id} cannot be asked now: {note}"
    if request.act is JobAct.CANCEL and job.state.final:
        return f"{job.job_id} is {job.state.value} already"
    if request.act is JobAct.ACTIVATE and job.recommended is None:
        why = "recommends nothing" if job.state is JobState.DONE else f"is {job.state.value}"
        return f"{job.job_id} {why}; there is nothing to activate"
    return ""


def what(request: JobRequest, view: DeviceView | None, width: int) -> list[Line]:
    """Return what would happen, where, and what it takes the place of."""
    job = request.job
    shown: list[Line] = [
        ((fmt.escape(request.device_id), "strong"), (f"   {fmt.escape(job.job_id)}", "text")),
        (
            (f"{fmt.escape(job.bundle.key)}  {job.level.value}  {job.state.value}", "muted"),
            (f"  {fmt.escape(job_lines.what(job))}", "muted"),
        ),
        (),
    ]
    if request.act is JobAct.CANCEL or job.recommended is None:
        shown.append(((_DROPPED if job.state is JobState.QUEUED else _ENDED, "text"),))
        shown.append((("What answers on the device stays as it is.", "text"),))
    else:
        shown += _activation(job.recommended, view)
    return [crop(line, width) for line in shown]


def _activation(best: JobBundle, view: DeviceView | None) -> list[Line]:
    name = fmt.escape(best.model)
    active = None if view is None else view.answering(best.model)
    before = "what answers now is unknown"
    if active is not None:
        before = f"in place of {fmt.escape(active.key)}"
    return [
        ((f"{fmt.escape(best.key)} answers to {name}", "strong"),),
        ((before, "warn" if active is None else "text"),),
        (("It is loaded and tested first; if that fails nothing changes.", "text"),),
        (("`edgeconsole rollback` lets the one before answer again.", "muted"),),
    ]


def task(request: JobRequest, view: DeviceView | None) -> CancelTask | ActivateTask:
    """Return what is to be done, as it stands now.

    What is activated is named by its digest, so that it is what the job made, whatever was stored
    since; and it takes the place only of what the dialog says it does.
    """
    best = request.job.recommended
    if request.act is JobAct.CANCEL or best is None:
        return CancelTask(request.job.job_id)
    active = None if view is None else view.answering(best.model)
    expected = "" if active is None else active.digest
    return ActivateTask(best.model, best.version, best.variant, best.digest, expected)
