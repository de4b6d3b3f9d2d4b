"""Cancelling a job and activating what it recommends: asked first, done once, never by accident."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from canned_jobs import BEST, DONE, FAILED, NOTHING, QUEUED, RUNNING
from driving import burst, make_app, picture, texts
from fleets import HOSTILE, CannedDesk, lab
from textual.pilot import Pilot

from edgeconsole.fleet.orders import OrderKind, Outcome
from edgeconsole.fleet.tasks import ActivateTask, CancelTask
from edgeconsole.tui import job_acts
from edgeconsole.tui.actions import SETTLE_S, TypeAheadGuard
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.job_acts import JobAct, JobRequest
from edgeconsole.tui.runs import line_width
from edgeconsole.tui.screens.confirm_job import JobConfirmScreen
from edgeconsole.tui.screens.jobs import JobsScreen


def make() -> tuple[EdgeConsoleApp, CannedDesk]:
    """Return a console whose keys all come after everything could be seen, and who takes orders."""
    app = make_app(lab(10), refresh_hz=1)
    app.state.guard = TypeAheadGuard(count(-1e6).__next__)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    return app, desk


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys and let what they began come to its end."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await pilot.pause()


@pytest.mark.parametrize("opened", [(), ("enter",)])
@pytest.mark.parametrize("yes", [("Y",), ("tab", "enter")])
async def test_a_running_job_is_cancelled(opened: tuple[str, ...], yes: tuple[str, ...]) -> None:
    """In the list and in its report: `C` asks and says the command, `Y` or the button does it."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", *opened, "C")
        assert isinstance(app.screen, JobConfirmScreen)
        assert "edgeconsole jobs cancel dock-0188 job-5" in picture(app)
        assert desk.given == []
        desk.detail = "job-5 is cancelled"
        await press(pilot, *yes)
        ((intent, devices),) = desk.given
        assert (intent.kind, intent.task, devices) == (
            OrderKind.CANCEL_JOB,
            CancelTask("job-5"),
            ("dock-0188",),
        )
        assert "dock-0188: job-5 is cancelled" in picture(app)


async def test_what_is_recommended_is_activated() -> None:
    """`A` says what would answer in place of what; the order names both by their digests."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "j", "j", "A")
        shown = picture(app)
        assert "in place of yolo-n/1.2.0/fp32" in shown
        assert "edgeconsole activate dock-0188 yolo-n/1.2.0/int8-static" in shown
        desk.detail = "yolo-n/1.2.0/int8-static is active"
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert (intent.kind, devices) == (OrderKind.ACTIVATE, ("dock-0188",))
        assert isinstance(intent.task, ActivateTask)
        assert (intent.task.digest, intent.task.expected) == (BEST.digest, "sha256:" + "a" * 64)
        assert "dock-0188: yolo-n/1.2.0/int8-static is active" in picture(app)


@pytest.mark.parametrize("no", [("escape",), ("enter",), ("tab", "tab", "enter")])
async def test_leaving_the_dialog_does_nothing(no: tuple[str, ...]) -> None:
    """Escape, and the button that has the keyboard when it opens."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "C", *no)
        assert isinstance(app.screen, JobsScreen)
        assert desk.given == []


async def test_what_the_device_refuses_is_said() -> None:
    """The screen says that it was not done, and why."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "C")
        desk.outcome, desk.detail = Outcome.REFUSED, "job-5 is done already"
        await press(pilot, "Y")
        assert "dock-0188: not done: job-5 is done already" in picture(app)


async def test_a_book_that_cannot_be_written_is_said() -> None:
    """Nothing is sent that is not on disk."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "C")
        desk.broken = "history.db: disk full"
        await press(pilot, "Y")
        assert "nothing was ordered: history.db: disk full" in picture(app)


@pytest.mark.parametrize("behind", ["Y", "YYYY", "\t\rY", "\x1bY"])
@pytest.mark.parametrize("key", ["A", "C"])
async def test_what_is_typed_behind_the_key_does_nothing(key: str, behind: str) -> None:
    """All of it was there before the dialog could be seen, so none of it can mean yes."""
    names = {"\t": "tab", "\r": "enter", "\x1b": "escape"}
    app = make_app(lab(10), refresh_hz=1)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", *(["j", "j"] if key == "A" else []))
        await pilot.pause(SETTLE_S + 0.1)
        await burst(pilot, key, *(names.get(char, char) for char in behind))
        await pilot.pause(SETTLE_S + 0.1)
        assert desk.given == []


async def test_what_is_typed_ahead_of_the_screen_opens_no_dialog() -> None:
    """A key behind the one that opens the list was not meant for the job under its cursor."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(SETTLE_S + 0.1)
        await burst(pilot, "4", "C", "Y")
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)


@pytest.mark.parametrize(
    ("act", "job", "note", "why"),
    [
        (JobAct.CANCEL, RUNNING, "", ""),
        (JobAct.CANCEL, QUEUED, "", ""),
        (JobAct.ACTIVATE, DONE, "", ""),
        (JobAct.CANCEL, DONE, "", "job-3 is done already"),
        (JobAct.ACTIVATE, NOTHING, "", "job-1 recommends nothing"),
        (JobAct.ACTIVATE, FAILED, "", "job-2 is failed"),
        (JobAct.CANCEL, RUNNING, "no answer to ping", "a cannot be asked now: no answer to ping"),
    ],
)
def test_where_there_is_nothing_to_do_it_is_said(
    act: JobAct, job: object, note: str, why: str
) -> None:
    """No dialog about a job that is over, one that recommends nothing, or a device that is away."""
    assert isinstance(job, type(DONE))
    said = job_acts.refusal(JobRequest(act, "a", job), note)
    assert said.startswith(why)
    assert bool(said) == bool(why)


async def test_a_refusal_opens_no_dialog() -> None:
    """The reason is told where outcomes are told."""
    app, _ = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "A")
        assert isinstance(app.screen, JobsScreen)
        assert "job-5 is running; there is nothing to activate" in picture(app)
        await press(pilot, "G", "A")
        assert "gate-0020 cannot be asked now: no answer to ping" in picture(app)


@pytest.mark.parametrize("act", list(JobAct))
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_line(text: str, act: JobAct) -> None:
    """Whatever a device writes is escaped and cut to the dialog's width."""
    best = msgspec.structs.replace(BEST, model=text, variant=text)
    job = msgspec.structs.replace(DONE, job_id=text, variant=text, recommended=best)
    for line in job_acts.what(JobRequest(act, text, job), None, 60):
        assert line_width(line) <= 60
        assert all(char.isprintable() for char in texts([line])[0])


def test_the_dialog_says_what_becomes_of_the_measurements() -> None:
    """A running job's are kept, as the device says; one that waits has none."""
    running = "\n".join(texts(job_acts.what(JobRequest(JobAct.CANCEL, "a", RUNNING), None, 80)))
    queued = "\n".join(texts(job_acts.what(JobRequest(JobAct.CANCEL, "a", QUEUED), None, 80)))
    assert "what it measured is kept" in running
    assert "It will not start." in queued
