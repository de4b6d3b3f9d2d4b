"""The failsafe ladder on the screens: fleet table, Device, chart marks, Why and Audit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from driving import burst, make_app, picture, texts
from fleets import (
    FALLEN,
    HOSTILE,
    WALL,
    CannedDesk,
    audited,
    explained,
    fallen,
    hostile,
    hostile_explanation,
    hostile_rows,
    lab,
)
from msgspec.structs import replace

from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.levels import Level
from edgeconsole.protocol.failsafe import RungSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.tui import audit_lines, charts, columns, ladder_lines, why_lines
from edgeconsole.tui import filter as filters
from edgeconsole.tui.chart_marks import Mark, overlay
from edgeconsole.tui.frame import take
from edgeconsole.tui.glyphs import ASCII, BRAILLE
from edgeconsole.tui.runs import Line, line_width, plain
from edgeconsole.tui.screens.audit import AuditScreen
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.why import WhyScreen

STORE, CLOCK = fallen()
FRAME = take(STORE, WALL)
WIDTHS = [60, 80, 120, 200]


def ladder(device: str, width: int = 120, *, short: bool = False) -> str:
    """Return a device's ladder as text."""
    view = FRAME.by_id[device]
    return "\n".join(texts(ladder_lines.ladder(view, WALL, width, BRAILLE, short=short)))


def test_a_device_on_its_fallback() -> None:
    """Rung, by what, for how long, why, and what it answered with, are all there."""
    text = ladder("dock-0188")
    for part in (
        "◆ yolo-n  fallback tiny/int8  for 3m0s",
        "breaker open",
        "▌ 3 fallback tiny/int8 61 MiB tested 12s ago",
        "no rung 4 last good: max_age_ms is not set",
        "answers primary 30,600   fallback 1,204",
        "late dropped 31",
    ):
        assert part in text


def test_a_forced_device_says_who_why_and_until_when() -> None:
    """The override is named with the operator, the reason and its end."""
    text = ladder("line-0056")
    assert "failsafe forced by kim@desk until 15:02:10 (29m left): smoke in hall 2" in text


def test_the_end_of_an_override_is_right_on_a_wrong_clock() -> None:
    """The device says when it ends by its own clock; what is left is what counts."""
    view = FRAME.by_id["line-0056"]
    assert view.sample is not None
    override = view.sample.routes[0].override
    assert override is not None
    skewed = replace(override, until_unix_s=override.until_unix_s - 1e8)
    route = replace(view.sample.routes[0], override=skewed)
    sample = replace(view.sample, time_unix_s=view.sample.time_unix_s - 1e8, routes=(route,))
    lines = ladder_lines.ladder(replace(view, sample=sample), WALL, 120, BRAILLE)
    assert "until 15:02:10 (29m left)" in "\n".join(texts(lines))
    said = replace(explained(), routes=(route,), ahead_s=-1e8)
    lines = why_lines.lines(said, WALL, 120, BRAILLE)
    assert "until 15:02:10 (29m left)" in "\n".join(texts(lines))


def test_a_fallback_that_cannot_be_is_said() -> None:
    """If memory forbids the fallback, the screen says that there is no rung 3, and stands out."""
    view = FRAME.by_id["cart-0001"]
    assert view.sample is not None
    lacking = RungSample(Rung.FALLBACK, False, "it needs 900 MiB, 300 MiB are free")
    route = replace(view.sample.routes[0], rungs=(lacking,))
    changed = replace(view, sample=replace(view.sample, routes=(route,)))
    for short, part in (
        (False, "no rung 3 fallback: it needs 900 MiB, 300 MiB are free"),
        (True, "no rung 3"),
    ):
        lines = ladder_lines.ladder(changed, WALL, 120, BRAILLE, short=short)
        assert part in "\n".join(texts(lines))
        assert "warn" in {role for line in lines for _, role in line}


def test_a_short_ladder_has_one_line_for_what_is_well() -> None:
    """On a low screen a healthy route takes a line, one that fell keeps all of it."""
    assert len(ladder("cart-0001", short=True).splitlines()) == 2
    assert ladder("dock-0188", short=True) == ladder("dock-0188")


def test_what_is_old_or_missing_is_marked() -> None:
    """A silent device's ladder says how old it is; without one the reason is given."""
    assert "so it stood 9s ago; now it is unknown" in ladder("gate-0020")
    view = FRAME.by_id["cart-0001"]
    assert view.sample is not None
    old = replace(view, sample=replace(view.sample, routes=()))
    assert "this agent has none" in "\n".join(texts(ladder_lines.ladder(old, WALL, 80, BRAILLE)))
    never = replace(view, sample=None)
    assert "no sample yet" in "\n".join(texts(ladder_lines.ladder(never, WALL, 80, BRAILLE)))


def test_a_latched_route_says_how_it_comes_back() -> None:
    """The alarm stands out, with what a person has to do."""
    said = explained()
    route = replace(said.routes[0], latched=True, alarm="7 changes in an hour")
    text = "\n".join(texts(why_lines.lines(replace(said, routes=(route,)), WALL, 120, BRAILLE)))
    assert "latched: 7 changes in an hour; it climbs again when it is released" in text


def test_orders_that_wait_are_on_the_device_screen() -> None:
    """What was ordered, by whom, and when it will be dropped."""
    (line,) = texts(ladder_lines.waiting(FRAME.by_id["gate-0020"].orders, WALL, 120))
    assert line.startswith(" queued  failsafe on gate-0020 --for 30m --reason 'smoke in hall 2'")
    assert "by kim@desk, expires in 29m" in line
    (late,) = texts(
        ladder_lines.waiting(FRAME.by_id["gate-0020"].orders, WALL + timedelta(hours=1), 120)
    )
    assert "expires now" in late


def test_devices_can_be_filtered_by_rung() -> None:
    """`/rung=fallback` keeps those on it; a device that is well has no rung to compare."""
    for text, kept in (
        ("rung=fallback", ["dock-0188"]),
        ("rung=static,fall", ["dock-0188", "line-0056"]),
        ("rung!=fallback", ["line-0056"]),
    ):
        found = filters.parse(text)
        assert [view.id for view in FRAME.views if found.keeps(view)] == kept


def test_the_table_names_who_answers() -> None:
    """The active column shows the rung that stands in, in the failsafe's colour."""
    assert columns.BY_ID["active"].cell(FRAME.by_id["dock-0188"]) == (
        "fallback tiny/int8",
        "failsafe",
    )
    assert columns.BY_ID["active"].cell(FRAME.by_id["cart-0001"]) == ("yolo-n/int8", "text")


def test_marks_are_where_the_device_says_whatever_its_clock() -> None:
    """A transition 180 s before the latest sample is 180 s left of it, on a wrong clock too."""
    for skew_s in (0.0, -86_400.0, 1e9):
        view = FRAME.by_id["dock-0188"]
        assert view.sample is not None
        assert view.age_s is not None
        events = [
            replace(
                each,
                transition=each.transition
                and replace(each.transition, time_unix_s=each.transition.time_unix_s + skew_s),
            )
            for each in FRAME.events(STORE, "dock-0188")
        ]
        skewed = replace(
            view, sample=replace(view.sample, time_unix_s=WALL.timestamp() + skew_s), age_s=2.0
        )
        found = charts.marks(skewed, events, 1000.0, BRAILLE)
        assert [(mark.at, mark.label) for mark in found] == [
            (pytest.approx(598.0, abs=0.01), "primary"),
            (pytest.approx(818.0, abs=0.01), "fallback"),
        ]
        assert [mark.shape for mark in found] == ["●", "◆"]
    assert charts.marks(replace(FRAME.by_id["dock-0188"], sample=None), [], 0, BRAILLE) == ()


def test_marks_give_way_to_newer_ones() -> None:
    """Shapes stay where they are; a word goes where the next mark needs its room."""
    line: Line = (("." * 20, "text"),)

    def shown(*at: float) -> str:
        marks = [Mark(each, "X", "fallback", "failsafe") for each in at]
        return plain(overlay(line, marks, 100.0, 20.0, 20))

    assert shown(84) == "...Xfallback........"
    assert shown(84, 90) == "...X.....Xfallback.."
    assert shown(98) == "." * 17 + "X.."
    assert shown(70, 130) == "." * 20
    assert line_width(overlay((), [Mark(90, "X", "word", "failsafe")], 100.0, 20.0, 20)) == 20


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_fit_and_are_harmless(text: str, width: int) -> None:
    """No line is wider than the screen or holds a control character, whatever a device says."""
    store, _ = hostile()
    view = take(store, WALL).by_id[text]
    lines = [
        *ladder_lines.ladder(view, WALL, width, BRAILLE),
        *ladder_lines.ladder(view, WALL, width, ASCII, short=True),
        *ladder_lines.waiting(view.orders, WALL, width),
        *why_lines.lines(hostile_explanation(text), WALL, width, BRAILLE),
        *audit_lines.lines(hostile_rows(), WALL, width),
    ]
    assert max(map(line_width, lines)) <= width
    assert all(plain(line).isprintable() for line in lines)


def test_why_names_measured_threshold_held_and_needed() -> None:
    """Each condition of the newest transition is there, of older ones only what was met."""
    text = "\n".join(texts(why_lines.lines(explained(), WALL, 120, BRAILLE)))
    for part in ("measured", "threshold", "held", "needed", "0.62", "3.2 s", "31 of 50 calls"):
        assert part in text
    assert "in the device's own words, just now" in text
    assert "14:30:10 ◆ yolo-n  primary → fallback  breaker open" in text
    newest, older = text.split("14:30:10")[1].split("14:26:30")
    assert "temperature" in newest
    assert "temperature" not in older


def test_why_without_a_ladder_or_a_device() -> None:
    """From the history it says so and why; conditions of a route without a sample are kept."""
    gone = Explanation("a", live=False, note="ws://x cannot be reached", transitions=(FALLEN,))
    text = "\n".join(texts(why_lines.lines(gone, WALL, 120, BRAILLE)))
    assert "from the history; the device was not asked: ws://x cannot be reached" in text
    assert "what holds it now" not in text
    lone = replace(explained(), routes=())
    assert "temperature" in "\n".join(texts(why_lines.lines(lone, WALL, 120, BRAILLE)))


def test_what_the_history_has_of_a_route_is_not_now() -> None:
    """Rungs of a device that is gone are how it stood, not how it stands."""
    old = replace(explained(), live=False, conditions=())
    text = "\n".join(texts(why_lines.lines(old, WALL, 120, BRAILLE)))
    assert "how it stood when it was last heard" in text
    assert "what holds it now" not in text


def test_who_forced_it_is_in_the_trace() -> None:
    """A transition by an operator has the name and the words."""
    forced = replace(FALLEN, cause="operator", actor="kim@desk", reason="smoke")
    said = replace(explained(), transitions=(forced,))
    text = "\n".join(texts(why_lines.lines(said, WALL, 120, BRAILLE)))
    assert "operator, smoke, by kim@desk" in text


def test_the_audit_shows_every_outcome_with_its_words() -> None:
    """Newest first; what was refused stands out with the device's words below."""
    lines = audit_lines.lines(audited(), WALL, 120)
    text = "\n".join(texts(lines))
    for part in ("queued", "refused", "acknowledged", "sent", "expired", "kim@desk"):
        assert part in text
    assert "no static answer is declared for yolo-n" in text
    assert ("refused     ", "crit") in [run for line in lines for run in line]
    assert "nothing was ordered so far" in "\n".join(texts(audit_lines.lines([], WALL, 80)))


async def test_the_device_screen_has_the_ladder() -> None:
    """◆ with rung and reason in the head, the rungs below, the marks on the chart."""
    app = make_app(fallen())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        text = picture(app)
        for part in (
            "◆ failsafe  yolo-n: fallback tiny/int8 for 3m, breaker open",
            "◆fallback",
            "●primary",
            "failsafe ladder",
        ):
            assert part in text
        await app.open_device("gate-0020")
        await pilot.pause()
        assert "queued  failsafe on gate-0020" in picture(app)


async def test_the_fleet_says_how_many_orders_wait() -> None:
    """In the crumb line, for the whole fleet; the inspector names the one of its device."""
    app = make_app(fallen(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("j", "j")
        await pilot.pause()
        assert "1 order queued" in picture(app)
        assert "queued: failsafe on gate-0020" in picture(app)


async def test_e_opens_why_and_escape_goes_back_step_by_step() -> None:
    """From the fleet and from a device; the trace is asked again while it is looked at."""
    store, clock = fallen(30)
    app = make_app((store, clock), refresh_hz=1)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    desk.said = explained()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter", "e")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, WhyScreen)
        assert "fleet › dock-0188 › why" in picture(app)
        assert "breaker error share" in picture(app)
        desk.said = replace(explained(), transitions=())
        clock.now += 3
        app.tick()
        await pilot.pause()
        await pilot.pause()
        assert "no transition is known" in picture(app)
        desk.broken = "history.db: disk full"
        clock.now += 3
        app.tick()
        await pilot.pause()
        await pilot.pause()
        assert "history.db: disk full" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)


@pytest.mark.parametrize(("line", "screen"), [("why cart-0001", WhyScreen), ("audit", AuditScreen)])
async def test_why_and_audit_by_command(line: str, screen: type) -> None:
    """`:why DEVICE` and `:audit` open their screens from anywhere and scroll."""
    app = make_app(lab(10))
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    desk.rows = audited() * 30
    async with app.run_test(size=(80, 24)) as pilot:
        await burst(pilot, "colon", *line, "enter")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, screen)
        await pilot.press("G", "g", "j", "k", "ctrl+f", "ctrl+b", "question_mark", "escape")
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.kind == "fleet"


async def test_why_needs_a_device() -> None:
    """Where there is none at hand it has to be named."""
    app = make_app(lab(10))
    async with app.run_test(size=(80, 24)) as pilot:
        await burst(pilot, "colon", *"audit", "enter")
        await pilot.pause()
        await burst(pilot, "colon", *"why", "enter")
        await pilot.pause()
        assert "name the devices" in picture(app)


def test_levels_have_their_words() -> None:
    """A degraded device is counted as such in the health bar."""
    assert FRAME.counts[Level.FAILSAFE] == 2
