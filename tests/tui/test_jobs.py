"""The Jobs screen: every state in its words, the cursor on its job, and the report behind it."""

from __future__ import annotations

import msgspec
import pytest
from canned_jobs import DONE, FAILED, QUEUED, REPORT, RUNNING, CannedJobs, said
from driving import burst, make_app, picture, texts
from fleets import HOSTILE, WALL, lab

from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.tui import job_lines, report_lines
from edgeconsole.tui.glyphs import BRAILLE
from edgeconsole.tui.runs import line_width
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.jobs import JobScreen, JobsScreen


def canned(app: object) -> CannedJobs:
    """Return the canned jobs of a console."""
    found = app.service.jobs  # type: ignore[attr-defined]
    assert isinstance(found, CannedJobs)
    return found


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (RUNNING, "measure 3 of 12: int8-static-per-channel"),
        (QUEUED, "1 before it, for kim@desk"),
        (DONE, "→ int8-static"),
        (msgspec.structs.replace(DONE, variant=""), "nothing keeps to the constraints"),
        (FAILED, "the bundle has no evaluation data"),
        (msgspec.structs.replace(RUNNING, progress=None), "starting"),
    ],
)
def test_each_state_has_its_words(job: object, words: str) -> None:
    """A job says where it is, what it recommends, or why it ended."""
    assert isinstance(job, type(DONE))
    assert job_lines.what(job) == words


def test_the_table_shows_stale_and_unknown_as_such() -> None:
    """Jobs of a device that is away are grey, and who never said anything is named with the reason."""
    lines = job_lines.lines(said(), ("dock-0188", "job-3"), WALL, 200, BRAILLE)
    shown = "\n".join(texts(lines))
    assert "2.6 ×" in shown
    assert "≤ 4m32s" in shown
    assert "cam-05: its jobs are unknown; connection refused" in shown
    assert "gate-0020: as of" in shown
    (away,) = [line for line in lines if "gate-0020  " in texts([line])[0]]
    assert {role for text, role in away[1:] if text.strip()} == {"stale"}
    assert [line for line in texts(lines) if line.startswith("▌")] == [texts(lines)[3]]


def test_no_job_is_not_the_same_as_no_answer() -> None:
    """Only a device that answered can be said to have no job."""
    nothing = "no optimisation job is known"
    heard = job_lines.lines([DeviceJobs("a", heard_unix_s=1.0)], None, WALL, 80, BRAILLE)
    silent = job_lines.lines([DeviceJobs("a", note="away")], None, WALL, 80, BRAILLE)
    assert nothing in "\n".join(texts(heard))
    assert nothing not in "\n".join(texts(silent))


def test_the_report_has_the_fastest_first_and_marks_what_it_recommends() -> None:
    """The baseline, then by speed-up; ◆ is recommended, ● is Pareto; what was not timed comes last."""
    lines = texts(report_lines.lines(DONE, REPORT, WALL, 200, BRAILLE))
    at = {
        name: place
        for place, line in enumerate(lines)
        if "beyond" not in line
        for name in (
            "□  original",
            "×  int8-dynamic",
            "◆  int8-static",
            "●  fused",
            "pruned-50",
            "fp16",
        )
        if name in line and "loses" not in line and "smallest" not in line
    }
    order = ["□  original", "×  int8-dynamic", "◆  int8-static", "●  fused", "pruned-50", "fp16"]
    assert sorted(at, key=lambda name: at[name]) == order
    assert any("excluded: drop 2.25 > 0.5" in line for line in lines)
    assert any("loses 2.25 points" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_line(text: str, width: int) -> None:
    """Whatever a device writes is escaped and cut to the screen's width."""
    job = msgspec.structs.replace(
        FAILED,
        job_id=text,
        actor=text,
        reason=text,
        bundle=msgspec.structs.replace(FAILED.bundle, model=text),
    )
    report = msgspec.structs.replace(
        REPORT,
        why=(text,),
        variants=tuple(
            msgspec.structs.replace(each, name=text, reason=text) for each in REPORT.variants
        ),
    )
    lines = [
        *job_lines.lines([DeviceJobs(text, (job,), {}, 1.0, text)], None, WALL, width, BRAILLE),
        *report_lines.lines(job, report, WALL, width, BRAILLE),
    ]
    for line in lines:
        assert line_width(line) <= width
        assert all(char.isprintable() for char in texts([line])[0])


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_cursor_opens_the_job_it_is_on(size: tuple[int, int]) -> None:
    """`4` lists the jobs, the cursor moves over them, Enter shows the report, Escape goes back."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)
        assert app.screen.selected == ("dock-0188", "job-5")
        await pilot.press("j", "j")
        assert app.screen.selected == ("dock-0188", "job-3")
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, JobScreen)
        assert "int8-static" in picture(app)
        assert "fleet › dock-0188 › jobs › job-3" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)
        await pilot.press("G")
        assert app.screen.selected == ("gate-0020", "job-3")
        await pilot.press("ctrl+b", "ctrl+f", "k", "g")
        assert app.screen.selected == ("dock-0188", "job-5")


async def test_the_cursor_stays_on_its_job() -> None:
    """When jobs come and go above it, the cursor is still on the job it was on."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await pilot.pause()
        await pilot.pause()
        await pilot.press("j", "j")
        screen = app.screen
        assert isinstance(screen, JobsScreen)
        first, *rest = canned(app).said
        canned(app).said = [msgspec.structs.replace(first, jobs=first.jobs[1:]), *rest]
        await screen.ask()
        assert screen.selected == ("dock-0188", "job-3")
        canned(app).said = []
        await screen.ask()
        assert screen.selected is None
        await pilot.press("j", "enter")
        assert app.screen is screen


async def test_the_jobs_of_one_device_by_command() -> None:
    """`:jobs DEVICE` asks that one alone; a failed report is said above what was known."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *"jobs gate-0020", "enter")
        await pilot.pause()
        await pilot.pause()
        assert canned(app).asked[-1] == ("gate-0020",)
        assert "fleet › gate-0020 › jobs" in picture(app)
        canned(app).broken = "gate-0020: it is not connected"
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        assert "it is not connected" in picture(app)


async def test_it_is_asked_again_only_while_it_can_be_seen() -> None:
    """Every two seconds on top; not at all beneath another screen, and not while paused."""
    fleet = lab(10)
    app = make_app(fleet, refresh_hz=1)
    clock = fleet[1]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "4")
        await pilot.pause()
        await pilot.pause()
        count = len(canned(app).asked)
        clock.now += 2.1
        app.tick()
        await pilot.pause()
        assert len(canned(app).asked) == count + 1
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        clock.now += 2.1
        app.tick()
        await pilot.pause()
        assert len(canned(app).asked) == count + 1
