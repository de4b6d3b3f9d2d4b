"""The Models screen: every bundle once with where it runs, and behind it what a job found."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest
from canned_jobs import BEST, BUNDLE, CannedJobs
from canned_models import FOUND, OTHER, TINY, CannedModels, bundle, said
from driving import burst, make_app, picture, texts
from fleets import HOSTILE, WALL, lab

from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.tui import model_lines
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.glyphs import ASCII, BRAILLE, Glyphs
from edgeconsole.tui.runs import Line, line_width
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.jobs import JobsScreen
from edgeconsole.tui.screens.models import ModelScreen, ModelsScreen


def canned(app: EdgeConsoleApp) -> CannedModels:
    """Return the canned stores of a console."""
    found = app.service.models
    assert isinstance(found, CannedModels)
    return found


def table(
    devices: list[DeviceModels],
    selected: str | None,
    wall: datetime,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return the table of what devices said."""
    rows = model_lines.rows(devices)
    return model_lines.lines(devices, rows, selected, wall, width=width, glyphs=glyphs)


def shown(width: int = 200, selected: str | None = None) -> list[str]:
    """Return the table as text."""
    return texts(table(said(), selected, WALL, width, BRAILLE))


def line_of(lines: list[str], variant: str) -> str:
    """Return the row of a variant of yolo-n."""
    (found,) = [line for line in lines if f" {variant} " in line and "yolo-n" in line]
    return found


def test_a_bundle_is_one_row_wherever_it_is() -> None:
    """On how many devices it answers and lies, where, its size, and what a job measured there."""
    row = line_of(shown(), "int8-static")
    for words in ("2 of 5", " 3 ", "3.0 MiB", "7.38", "0.26", "accuracy", "0.9284", "2.6 ×"):
        assert words in row
    assert "cart-0001, cart-0002; measured on dock-0188" in row
    assert row.startswith("  ◆")
    stored = line_of(shown(), "fused")
    assert "only stored: dock-0188" in stored
    assert " of 5" not in stored


def test_what_answers_comes_first_then_the_fastest() -> None:
    """Within a model; what was never measured comes last."""
    order = [row.bundle.digest for row in model_lines.rows(said())]
    assert order == [TINY, BEST.digest, BUNDLE.digest, "9" * 64, OTHER]


def test_what_nobody_measured_is_a_dash() -> None:
    """Unknown is unknown: no figure is made up."""
    row = line_of(shown(), "fp16")
    assert row.count("—") == 5


def test_the_newest_measurement_counts() -> None:
    """Of two jobs that measured a bundle the later one is shown, with its device."""
    measured = msgspec.structs.replace(FOUND.measured[BEST.digest], p99_ms=6.66)
    later = msgspec.structs.replace(
        FOUND, job_id="job-9", ended_unix_s=FOUND.ended_unix_s + 9, measured={BEST.digest: measured}
    )
    first, second, *rest = said()
    second = msgspec.structs.replace(second, findings=(later,))
    for devices in ([first, second, *rest], [second, first, *rest]):
        (row,) = [each for each in model_lines.rows(devices) if each.bundle.digest == BEST.digest]
        assert row.measured is not None
        assert (row.measured.p99_ms, row.measured_on) == (6.66, "cart-0001")
        assert model_lines.newest(devices, "yolo-n") == ("cart-0001", later)
    assert model_lines.newest(said(), "tiny") is None


def test_stale_and_unknown_are_shown_as_such() -> None:
    """A bundle only a silent device has is grey; who never said anything is named, with the reason."""
    lines = table(said(), None, WALL, 200, BRAILLE)
    (away,) = [line for line in lines if " fp16 " in texts([line])[0]]
    assert {role for text, role in away[1:] if text.strip()} == {"stale"}
    (here,) = [line for line in lines if " int8-static " in texts([line])[0]]
    assert "stale" not in {role for _, role in here}
    text = "\n".join(texts(lines))
    assert "cam-05: its models are unknown; connection refused" in text
    assert "gate-0020: as of" in text


def test_no_model_is_not_the_same_as_no_answer() -> None:
    """Only a device that answered can be said to have none."""
    nothing = "no model is in a store"
    heard = table([DeviceModels("a", heard_unix_s=1.0)], None, WALL, 80, BRAILLE)
    silent = table([DeviceModels("a", note="away")], None, WALL, 80, BRAILLE)
    assert nothing in "\n".join(texts(heard))
    assert nothing not in "\n".join(texts(silent))


def test_who_runs_what_of_a_model() -> None:
    """Each device with what answers there and what else it has; a silent one as it was."""
    lines = texts(model_lines.devices_of(said(), "yolo-n", 200))
    assert "answers 1.2.0/fp32   also stored: 1.2.0/int8-static, 1.2.0/fused" in lines[0]
    assert "not asked just now: no answer to ping" in lines[3]
    assert len(lines) == 4
    gone = texts(model_lines.devices_of(said(), "cats", 200))
    assert gone == [" no device has cats any more"]
    tiny = texts(model_lines.devices_of(said(), "tiny", 200))
    assert "nothing answers" in tiny[0]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_line(text: str, width: int) -> None:
    """Whatever a device writes is escaped and cut to the screen's width."""
    stored = msgspec.structs.replace(
        bundle(text, BEST.digest, 7, model=text), version=text, task=text
    )
    measured = msgspec.structs.replace(FOUND.measured[BEST.digest], metric=text)
    found = msgspec.structs.replace(FOUND, model=text, measured={BEST.digest: measured})
    devices = [
        DeviceModels(text, (stored,), (found,), 1.0, text),
        DeviceModels("b", (stored, msgspec.structs.replace(stored, active=True)), (), 1.0),
    ]
    for line in (
        *table(devices, BEST.digest, WALL, width, BRAILLE),
        *model_lines.devices_of(devices, text, width),
    ):
        assert line_width(line) <= width
        assert all(char.isprintable() for char in texts([line])[0])


def test_without_colours_the_recommended_one_has_its_shape() -> None:
    """In each alphabet another one."""
    (row,) = [
        line for line in texts(table(said(), None, WALL, 200, ASCII)) if " int8-static " in line
    ]
    assert row.startswith("  @")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_model_is_opened(size: tuple[int, int]) -> None:
    """`3` lists the fleet's models, Enter shows who runs one and its plot, Escape goes back."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, ModelsScreen)
        assert canned(app).asked[-1] == app.state.store.ids()
        await pilot.press("j")
        assert app.screen.selected == BEST.digest
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, ModelScreen)
        shown = picture(app)
        assert "fleet › models › yolo-n" in shown
        assert "answers 1.2.0/fp32" in shown
        assert "job-3 on dock-0188" in shown
        assert ("◆ recommended" in shown) or size[1] == 24
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, ModelsScreen)


async def test_a_device_s_models() -> None:
    """`3` on a device, and `:models DEVICE`, ask that one alone."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter", "3")
        await pilot.pause()
        await pilot.pause()
        assert canned(app).asked[-1] == ("dock-0188",)
        assert "fleet › dock-0188 › models" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        await burst(pilot, "colon", *"models cart-0001", "enter")
        await pilot.pause()
        await pilot.pause()
        assert canned(app).asked[-1] == ("cart-0001",)


async def test_lists_take_each_other_s_place() -> None:
    """Going back and forth between models and jobs does not pile up screens."""
    app = make_app(lab(10), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3", "4", "3", "4", "3", "enter", "4")
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)
        assert len(app.screen_stack) == 2


async def test_a_report_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs what is shown all the same."""
    app = make_app(lab(10), refresh_hz=1)
    jobs = app.service.jobs
    assert isinstance(jobs, CannedJobs)
    jobs.broken = "dock-0188: it is not connected"
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        await pilot.pause()
        await pilot.press("j", "enter")
        await pilot.pause()
        await pilot.pause()
        assert "it is not connected" in picture(app)
        assert "answers 1.2.0/fp32" in picture(app)
