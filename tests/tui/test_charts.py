"""Charts, scales and sparks as text."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest
from driving import texts
from fleets import single
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.fleet.store import Point
from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.tui import charts
from edgeconsole.tui import format as fmt
from edgeconsole.tui.chart_geometry import Window, chart, plot, row_of, time_axis
from edgeconsole.tui.glyphs import ASCII, BLOCK, BRAILLE, Glyphs
from edgeconsole.tui.runs import Line, line_width, plain
from edgeconsole.tui.scales import (
    Limit,
    Scale,
    Series,
    nice_scale,
    nice_step,
    scale_for,
    tick_label,
)
from edgeconsole.tui.sparks import buckets, spark

ALL = pytest.mark.parametrize("glyphs", [BRAILLE, BLOCK, ASCII], ids=lambda glyphs: glyphs.name)
TEN = Scale(0, 10, 5)


def drawn(values: list[float | None], glyphs: Glyphs = BRAILLE, width: int = 20) -> list[Line]:
    """Plot one value a second, the last one now, between 0 and 10."""
    points = [(float(at), value) for at, value in enumerate(values, 1)]
    window = Window(float(len(values)), float(len(values)))
    return plot([Series("high", points)], [], TEN, window, (width, 5), glyphs=glyphs)


def roles_at(lines: list[Line], y: int) -> set[str]:
    """Return the roles of what is drawn in a line."""
    return {role for text, role in lines[y] if text.strip()}


@ALL
def test_a_spike_among_hundreds_of_samples_is_seen(glyphs: Glyphs) -> None:
    """One sample over the others reaches its height however many share its column."""
    values: list[float | None] = [1.0] * 600
    values[317] = 10.0
    lines = drawn(values, glyphs)
    assert plain(lines[0]).strip()
    assert not plain(drawn([1.0] * 600, glyphs)[0]).strip()


@ALL
def test_holes_stay_holes(glyphs: Glyphs) -> None:
    """Missing values are not joined over."""
    values: list[float | None] = [5.0] * 30 + [None] * 30 + [5.0] * 30
    line = plain(drawn(values, glyphs, 30)[2])
    assert line[:9].strip()
    assert line[-9:].strip()
    assert not line[12:18].strip()


def test_silence_is_a_hole_too() -> None:
    """A line does not run on over a time in which nothing came."""
    points = [*((float(at), 5.0) for at in range(30)), *((float(at), 5.0) for at in range(60, 90))]
    curve = Series("high", points)
    lines = plot([curve], [], TEN, Window(89, 90), (30, 5), glyphs=BRAILLE)
    assert not plain(lines[2])[12:18].strip()


def test_neighbours_are_joined() -> None:
    """Samples a second apart make a line, also where a second is several columns."""
    points = [(float(at), 5.0) for at in range(10)]
    lines = plot([Series("high", points)], [], TEN, Window(9, 10), (50, 5), glyphs=BRAILLE)
    assert " " not in plain(lines[2])[5:46]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_a_hole(bad: float) -> None:
    """A broken value neither draws nor raises."""
    assert not any(plain(line).strip() for line in drawn([bad] * 20))


def test_limits_are_drawn_and_colour_what_is_above() -> None:
    """A limit is a line behind the curve; the curve takes its role above it."""
    points = [(float(at), 2.0 if at < 50 else 9.0) for at in range(100)]
    limit = Limit(5, "crit")
    args = ([Series("high", points)], [limit], TEN, Window(99, 100), (40, 5))
    lines = plot(*args, glyphs=BRAILLE)
    assert "╌" in plain(lines[row_of(5, TEN, 5)])
    assert roles_at(lines, 0) == {"crit"}
    assert roles_at(lines, 3) == {"high"}


def test_soft_limits_are_dotted_and_far_ones_absent() -> None:
    """A warning is dotted; a limit beyond the scale is not drawn at its edge."""
    limits = [Limit(5, "warn", hard=False), Limit(500, "crit")]
    lines = plot([], limits, TEN, Window(9, 10), (12, 5), glyphs=BRAILLE)
    assert plain(lines[2]) == "· · · · · · "
    assert not plain(lines[0]).strip()


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.integers(1, 8))
def test_scales_hold_their_data_with_round_ticks(low: float, span: float, intervals: int) -> None:
    """Any range fits its scale, in at most so many 1-2-5 steps."""
    scale = nice_scale(low, low + span, intervals)
    assert scale.low <= low * (1 + 1e-6) + 1e-9
    assert scale.high >= (low + span) * (1 - 1e-6)
    assert len(scale.ticks()) <= intervals + 1
    assert round(scale.step / 10 ** math.floor(math.log10(scale.step) + 1e-9)) in (1, 2, 5)


@pytest.mark.parametrize(
    ("span", "intervals", "step"),
    [(100, 4, 50), (40, 4, 10), (0.3, 3, 0.1), (7, 3, 5), (0, 3, None)],
)
def test_steps(span: float, intervals: int, step: float | None) -> None:
    """Steps are the smallest round ones that suffice."""
    found = nice_step(span, intervals)
    assert found > 0
    if step is not None:
        assert math.isclose(found, step)


def test_scales_take_in_limits_in_reach() -> None:
    """The deadline belongs on the chart unless the data would then lie on the floor."""
    series = [Series("high", [(0.0, 30.0)])]
    near = scale_for(series, [Limit(50, "crit")], 4)
    assert near.high >= 50
    far = scale_for(series, [Limit(1000, "crit")], 4)
    assert far.high < 100


def test_noise_does_not_look_like_an_emergency() -> None:
    """A scale has a least height, however little the data moves."""
    scale = scale_for([Series("high", [(0.0, 55.0), (1.0, 55.4)])], [], 4, low=None, span=20)
    assert scale.high - scale.low >= 20
    assert 0 <= scale.low <= 55


@ALL
def test_charts_fill_their_size_exactly(glyphs: Glyphs) -> None:
    """Every line of a chart has the width that was asked for, and there are so many lines."""
    for size in ((40, 8), (78, 18), (20, 4), (13, 5)):
        curve = Series("high", [(float(at), 5.0) for at in range(60)])
        lines = chart([curve], [], TEN, Window(59, 60), size, glyphs=glyphs)
        assert len(lines) == size[1]
        assert {line_width(line) for line in lines if line} == {size[0]}


def test_ticks_stand_at_equal_distances() -> None:
    """Labels are as far from each other as their values."""
    lines = texts(chart([], [], Scale(0, 100, 25), Window(59, 60), (40, 15), glyphs=BRAILLE))
    places = [y for y, line in enumerate(lines) if "┤" in line]
    assert len(places) == 5
    assert len({after - before for before, after in pairwise(places)}) == 1


def test_labels() -> None:
    """Ticks have as many decimals as their step, times one unit where that is enough."""
    assert tick_label(0.25, 0.05) == "0.25"
    assert tick_label(100.0, 50.0) == "100"
    axis = time_axis(70, 600)
    assert axis.endswith("now")
    assert axis.startswith("-10m")
    assert time_axis(2, 60) == "  "


def test_sparks_have_a_fixed_scale() -> None:
    """The same share is the same height everywhere; the limit is at three quarters."""
    line = spark([None, 0.0, 0.5, 0.79, 0.9, 1.2, 9.9], BRAILLE)
    assert plain(line) == "·▁▃▅▅▇█"
    by_role = {role: text for text, role in line}
    assert set(by_role) == {"faint", "low", "warn", "crit"}
    assert by_role["crit"] == "▇█"


def test_buckets_keep_the_greatest() -> None:
    """A bucket is its greatest value, and `None` without one."""
    points = [(0.5, 1.0), (0.6, 7.0), (0.7, None), (2.5, 3.0)]
    assert buckets(points, Window(2.9, 3), 3) == [7.0, None, 3.0]


def test_device_charts_say_what_is_missing() -> None:
    """A chart without data explains itself with the device's own reason."""
    store, _ = single(seconds=30)
    view = store.devices()[0]
    for spec in (charts.latency(view, ()), charts.temperature(view, ()), charts.load(())):
        text = "\n".join(texts(charts.draw(spec, Window(10, 60), (40, 8), BRAILLE)))
        assert spec.empty in text
    assert charts.draw(charts.load(()), Window(10, 60), (8, 3), BRAILLE)


def test_the_window_grows_with_what_was_seen() -> None:
    """A console that just started shows a minute, later more."""
    store, clock = single(seconds=200)
    points = store.points("dock-0188")
    assert charts.window_for((), clock.now).seconds == 60
    assert charts.window_for(points[-40:], clock.now).seconds == 60
    assert charts.window_for(points, clock.now).seconds == 300


def test_a_longer_time_joins_its_rows_and_keeps_its_holes() -> None:
    """Minutes are a line in a chart of a day; an hour in which nobody was there is a hole in it."""
    now = 100_000.0
    held = [*range(0, 36_000, 60), *range(43_200, 86_400, 60)]
    points = [
        Point(now - 86_400 + at, None, None, None, None, None, 50.0, None, 0.0) for at in held
    ]
    window = charts.longer_window(86_400.0, now)
    spec = charts.titled(charts.load(points), 86_400.0, points)
    lines = charts.draw(spec, window, (100, 12), BRAILLE)
    assert "last 1d" in plain(lines[0])
    rows = [
        "".join(cell if "\u2800" < cell < "\u2900" else " " for cell in plain(line))
        for line in lines
    ]
    curve = max(rows, key=lambda row: len(row.split()) and len(row.replace(" ", "")))
    before, after = curve.split()
    assert 35 <= len(before) <= 42
    assert 42 <= len(after) <= 49


def test_a_longer_time_says_what_it_waits_for() -> None:
    """Before the history was read, and where it knows nothing, the chart says which it is."""
    window = charts.longer_window(3600.0, 10_000.0)
    for read, text in ((None, "reading the history"), ((), "nothing is stored")):
        spec = charts.titled(charts.load(()), 3600.0, read)
        lines = charts.draw(spec, window, (60, 8), BRAILLE)
        assert any(text in plain(line) for line in lines)


@pytest.mark.parametrize(
    ("reading", "shown"),
    [
        (Reading(4.8, "W", "ina3221/VDD_IN", Quality.DERIVED), "   ina3221/VDD_IN"),
        (
            Reading(8.0, "W", "estimate: 3 to 9 W", Quality.ESTIMATED),
            "   estimated: estimate: 3 to 9 W",
        ),
        (Reading(6.0, "W", "evil\x1b[31m", Quality.MEASURED), fmt.escape("   evil\x1b[31m")),
        (Reading(unit="W", reason="nothing here measures power"), ""),
    ],
)
def test_the_chart_of_power_names_what_it_is_of(reading: Reading, shown: str) -> None:
    """The title ends with the rail, package or sum, and says so if it is no measurement."""
    store, _ = single(seconds=30)
    view = store.devices()[0]
    assert view.sample is not None
    sample = msgspec.structs.replace(view.sample, power_w=reading)
    title = plain(charts.power(msgspec.structs.replace(view, sample=sample), ()).title)
    assert title.endswith(shown)
    assert shown or title == "power W   budget 15"
