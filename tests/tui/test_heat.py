"""The thermal policy on the screens: the Device's lines and marks, Why, the level, hostile words."""

from __future__ import annotations

from dataclasses import replace as with_fields
from datetime import timedelta

import pytest
from driving import make_app, texts
from fleets import WALL, Clock, lab, single
from msgspec.structs import replace

from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.telemetry import DeviceEvent, Severity
from edgeconsole.protocol.thermal import (
    ThermalAllowance,
    ThermalConditions,
    ThermalOverride,
    ThermalSample,
    ThermalState,
    ThermalTransition,
)
from edgeconsole.specs import ThermalConstraints
from edgeconsole.tui import charts, thermal_lines, why_lines
from edgeconsole.tui.frame import take
from edgeconsole.tui.glyphs import ASCII, BRAILLE
from edgeconsole.tui.runs import line_width, plain
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.widgets.painted import Lines

HOT = ThermalSample(
    state=ThermalState.HOT,
    held_s=42.0,
    cause="hot_temperature",
    reason="84.0 °C, from 83.0 °C on",
    sensor="thermal_zone0/cpu-thermal",
    temp_c=86.4,
    limit_c=90.0,
    limit_source="passive trip",
    margin_c=3.6,
    allowance=ThermalAllowance(
        step=4, defer_background=True, batch_share=0.5, rate_per_s=31.5, thread_share=0.5
    ),
    throttled_total=1234,
)
MOVED = ThermalTransition(
    before=ThermalState.WARM,
    after=ThermalState.HOT,
    step_before=2,
    step_after=3,
    cause="hot_temperature",
    time_unix_s=WALL.timestamp() - 42.0,
    reason=HOT.reason,
    conditions=(
        Condition("hot_temperature", True, 84.0, 83.0, "°C", 2.0, 2.0),
        Condition("throttled", False, detail="no throttling"),
    ),
)


def heated_fleet(sample: ThermalSample | None = HOT) -> tuple[FleetStore, Clock]:
    """Return a store with one device whose latest sample has this policy, and its clock."""
    store, clock = single(seconds=60)
    (device,) = store.ids()
    view = store.device(device)
    assert view is not None
    assert view.sample is not None
    store.add_sample(device, replace(view.sample, thermal=sample, seq=view.sample.seq + 1))
    event = DeviceEvent(
        device, "boot-1", 999, MOVED.time_unix_s, Severity.WARNING, "thermal_changed", "hot"
    )
    store.add_event(device, replace(event, thermal=MOVED))
    return store, clock


def heated(sample: ThermalSample | None = HOT) -> FleetStore:
    """Return the store alone."""
    return heated_fleet(sample)[0]


def shown(sample: ThermalSample | None, width: int = 160) -> str:
    """Return the policy's lines of the Device screen as text."""
    store = heated(sample)
    view = store.device(store.ids()[0])
    assert view is not None
    return "\n".join(texts(thermal_lines.thermal(view, WALL, width, BRAILLE)))


def test_state_limit_margin_and_what_is_held_back() -> None:
    """All that the policy says is there, and a forecast that is not believed is a dash."""
    text = shown(HOT)
    for part in (
        "heat",
        "hot for 42s",
        "limit 90 °C (passive trip)",
        "margin 3.6 °C",
        "to the limit —",
        "sensor thermal_zone0/cpu-thermal",
        "at most 31.5 req/s, 50% of the workers, 50% of the batch, background work waits",
        "throttled 1,234",
    ):
        assert part in text
    assert "SIMULATED" not in text
    assert "to the limit 48 s" in shown(replace(HOT, limit_in_s=48.2))


def test_what_is_simulated_says_so() -> None:
    """A simulated device says it in its line and over its charts."""
    assert "SIMULATED" in shown(replace(HOT, simulated=True))
    store = heated(replace(HOT, simulated=True))
    view = store.devices()[0]
    for spec in (charts.temperature(view, ()), charts.power(view, ())):
        assert "SIMULATED" in plain(spec.title)
    assert "SIMULATED" not in plain(charts.temperature(heated().devices()[0], ()).title)


def test_unknown_is_shown_with_its_reason() -> None:
    """Without a sensor, or without a limit, there is the reason and no number."""
    text = shown(ThermalSample(ThermalState.UNKNOWN, reason="no thermal zone, no hwmon"))
    assert "unknown" in text
    assert "n/a: no thermal zone, no hwmon" in text
    assert "margin" not in text


def test_an_agent_without_the_policy_shows_nothing() -> None:
    """An older agent has no line at all."""
    assert shown(None) == ""


def test_an_override_is_named_with_its_end() -> None:
    """Who forced what, until when, why, and whether the device ignores it."""
    held = ThermalOverride(ThermalState.NOMINAL, "ana", "a demo", 90.0)
    said = "nominal forced by ana until 14:34:40 (1m30s left): a demo"
    assert said in shown(replace(HOT, override=held))
    assert "ignored" in shown(replace(HOT, override=replace(held, ignored=True)))
    blind = replace(HOT, temp_c=None, limit_c=None, limit_source="", reason="ana: a demo")
    assert "n/a: ana" in shown(blind)
    forced = shown(replace(blind, override=held))
    assert "temperature n/a" in forced
    assert "n/a: ana" not in forced


def test_an_override_runs_out_also_when_nothing_is_heard() -> None:
    """The end stays where it is while the sample gets old, and what is past is said to be over."""
    held = ThermalOverride(ThermalState.NOMINAL, "ana", "a demo", 90.0)
    sample = replace(HOT, override=held)
    later = WALL + timedelta(seconds=40)
    assert thermal_lines.override_text(sample, later, 40.0) == (
        "nominal forced by ana until 14:34:40 (50s left): a demo"
    )
    assert "(that is over)" in thermal_lines.override_text(sample, later, 91.0)
    assert thermal_lines.override_text(HOT, later, 0.0) == ""


def test_a_forced_state_is_seen_in_the_fleet() -> None:
    """A device on which somebody forced a state is marked as such, also if it is a harmless one."""
    held = ThermalOverride(ThermalState.NOMINAL, "ana", "a demo", 90.0)
    sample = replace(HOT, state=ThermalState.NOMINAL, override=held)
    (view,) = heated(sample).devices()
    assert view.sample is not None
    cool = replace(
        view.sample, models=(), routes=(), temp_c=replace(view.sample.temp_c, value=70.0)
    )
    for ignored, level in ((False, Level.FAILSAFE), (True, Level.OK)):
        store = heated(sample)
        now = replace(sample, override=replace(held, ignored=ignored))
        store.add_sample(view.id, replace(cool, thermal=now))
        (seen,) = store.devices()
        assert seen.level is level
        assert ("heat: nominal forced by ana: a demo" in seen.level_reason) is not ignored


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_lines_fit(width: int) -> None:
    """No line is wider than the screen, whatever a device calls its sensor."""
    rude = "\x1b[31m" + "漢" * 200
    held = ThermalOverride(ThermalState.HOT, rude, rude, 5.0)
    sample = replace(HOT, sensor=rude, limit_source=rude, override=held, warnings=(rude,))
    store = heated(sample)
    view = store.devices()[0]
    lines = thermal_lines.thermal(view, WALL, width, ASCII)
    assert all(line_width(line) <= width for line in lines)
    assert "\x1b" not in "".join(texts(lines))


def test_the_step_down_is_on_the_charts() -> None:
    """The transition is a mark on the temperature's chart, with the state's name."""
    store = heated()
    frame = take(store, WALL)
    (device,) = store.ids()
    view = frame.by_id[device]
    (mark,) = charts.heat_marks(view, frame.events(store, device), frame.at, BRAILLE)
    assert (mark.label, mark.role) == ("hot", "warn")
    points = frame.points(store, device, 60.0)
    spec = charts.temperature(view, points, (mark,))
    mark = with_fields(mark, at=frame.at - 20.0)
    spec = with_fields(spec, marks=(mark,))
    lines = charts.draw(spec, charts.window_for(points, frame.at), (100, 14), BRAILLE)
    assert any(f"{mark.shape}hot" in plain(line) for line in lines)


def test_what_was_forced_is_another_mark() -> None:
    """On a chart and in the trace one sees that it was a person, and who."""
    forced = replace(
        MOVED, cause="operator", reason="ana: the fan is out", actor="ana", simulated=True
    )
    assert thermal_lines.mark(MOVED) == ("warn", Level.WARNING)
    assert thermal_lines.mark(forced) == ("failsafe", Level.FAILSAFE)
    step = replace(forced, before=ThermalState.HOT, step_before=3, step_after=4)
    said = Explanation("dev", live=False, note="it is gone", thermal_transitions=(step, forced))
    text = texts(why_lines.lines(said, WALL, 140, BRAILLE))
    assert any("heat warm → hot  forced by ana: the fan is out  SIMULATED" in line for line in text)
    assert any("heat hot, step 4  forced by ana  SIMULATED" in line for line in text)


def test_why_of_a_device_that_is_gone_shows_where_its_heat_stood() -> None:
    """Without what it looked at, which the device alone knows; what is forced ends by our clock."""
    held = ThermalOverride(ThermalState.HOT, "ana", "the fan is out", 90.0)
    said = Explanation("dev", live=False, heat=replace(HOT, override=held), age_s=30.0)
    text = "\n".join(texts(why_lines.lines(said, WALL, 140, BRAILLE)))
    assert "how it stood when it was last heard" in text
    assert "heat  hot  for 42s" in text
    assert "hot forced by ana until 14:34:10 (1m left): the fan is out" in text


def test_the_devices_own_limit_is_drawn_and_judged() -> None:
    """The lowest trusted limit is the chart's line; a warning is where the device says, or 15 °C below."""
    store = heated(replace(HOT, limit_c=86.0))
    view = store.devices()[0]
    assert (view.warn_temp_c, view.max_temp_c) == (80.0, 86.0)
    assert "warning 80  limit 86" in plain(charts.temperature(view, ()).title)
    hello = view.hello
    assert hello is not None
    device = replace(hello.device, thermal_constraints=ThermalConstraints())
    store.add_hello(view.id, replace(hello, device=device))
    assert store.devices()[0].warn_temp_c == 71.0


def test_a_hot_device_is_a_warning_with_the_reason() -> None:
    """The fleet table says how much a hot device still answers."""
    store = heated()
    first = store.devices()[0].sample
    assert first is not None
    cool = replace(first, models=(), routes=(), temp_c=replace(first.temp_c, value=70.0))
    store.add_sample(first.device_id, cool)
    view = store.devices()[0]
    assert view.level is Level.WARNING
    assert "hot: 84.0 °C" in view.level_reason
    assert "31.5 requests a second" in view.level_reason


def test_why_shows_conditions_and_transitions() -> None:
    """What the policy looked at and how it came there is among the routes' lines."""
    said = Explanation(
        "dev",
        live=True,
        heat=HOT,
        thermal=ThermalConditions(ThermalState.HOT, HOT.reason, MOVED.conditions),
        thermal_transitions=(MOVED,),
    )
    text = "\n".join(texts(why_lines.lines(said, WALL, 140, BRAILLE)))
    for part in (
        "heat  hot  for 42s",
        "hot temperature",
        "84.0",
        "83.0",
        "no throttling",
        "heat warm → hot",
        "hot temperature, 84.0 °C, from 83.0 °C on",
    ):
        assert part in text
    assert "no transition is known" not in text


async def test_the_device_screen_has_the_line() -> None:
    """The screen shows it between gauges and ladder; a device without the policy has no empty line."""
    for (store, clock), there in ((heated_fleet(), True), (lab(60), False)):
        app = make_app((store, clock))
        async with app.run_test(size=(140, 50)) as pilot:
            app.push_screen(DeviceScreen(app.state, store.ids()[0]))
            await pilot.pause()
            heat = app.screen.query_one("#heat", Lines)
            assert heat.display is there
            assert ("margin 3.6 °C" in "".join(texts(heat.lines))) is there
