"""Health bar, table cells, device texts and gauges as plain lines."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from driving import texts
from fleets import HOSTILE, LAB, WALL, empty, hostile, lab, many, single, stale

from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.store import DeviceView, LinkState
from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.tui import column_layout, columns, device_lines, gauges, inspector
from edgeconsole.tui.columns import BY_ID, COLUMNS, Order
from edgeconsole.tui.frame import PowerSum, take
from edgeconsole.tui.glyphs import ASCII, BRAILLE
from edgeconsole.tui.inspector import Place
from edgeconsole.tui.runs import Line, beside, crop, join, line_width, pad, plain, spread
from edgeconsole.tui.summary import health_line, power_text
from edgeconsole.tui.tabular import Head, table

LAB_STORE, LAB_CLOCK = lab(120)
FRAME = take(LAB_STORE, WALL)
WIDTHS = [60, 80, 100, 120, 160, 200]


def view(device_id: str) -> DeviceView:
    """Return a device of the lab."""
    return FRAME.by_id[device_id]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_health_bar_fits_and_keeps_clock_and_counts(width: int) -> None:
    """At any width the counts by level, the clock and the badge are there."""
    line = health_line(FRAME, width, BRAILLE, 72.0)
    assert line_width(line) == width
    text = plain(line)
    for part in ("■ 1", "▲ 1", "◐ 1", "14:33:10", "PAUSED 01:12"):
        assert part in text


def test_the_health_bar_has_everything_where_there_is_room() -> None:
    """Name, words, worst p99 with its deadline and power."""
    text = plain(health_line(FRAME, 160, BRAILLE, None))
    for part in ("EdgeConsole lab", "10 devices", "■ 1 crit", "● 6 ok", "/50 ms", "≥~"):
        assert part in text
    assert "PAUSED" not in text


def test_an_empty_fleet_has_no_figures() -> None:
    """Nothing known is n/a, not zero."""
    text = plain(health_line(take(empty()[0], WALL), 120, BRAILLE, None))
    assert "0 devices" in text
    assert "p99 n/a" in text
    assert "n/a W" in text


@pytest.mark.parametrize(
    ("power", "text"),
    [
        (PowerSum(0, 0, 5, estimated=False, simulated=False), "n/a W"),
        (PowerSum(61.4, 5, 0, estimated=False, simulated=False), "61 W"),
        (PowerSum(61.4, 4, 1, estimated=False, simulated=False), "≥61 W"),
        (PowerSum(9400, 9, 1, estimated=True, simulated=False), "≥~9.4 kW"),
        (PowerSum(12, 1, 0, estimated=False, simulated=True), "12 W sim"),
    ],
)
def test_the_power_sum_says_what_it_is_worth(power: PowerSum, text: str) -> None:
    """A sum over some is at least so much; estimates and simulations are marked."""
    assert power_text(power) == text


def test_old_readings_are_not_summed() -> None:
    """A device that is silent draws an unknown power now."""
    store, _ = stale()
    assert take(store, WALL).power.known == 0


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_columns_fit_and_give_way_by_importance(width: int) -> None:
    """No layout is wider than the line, and state and device are always there."""
    wants = column_layout.wanted(FRAME.views, {})
    placed = column_layout.layout(width, wants)
    assert [each.column.id for each in placed[:2]] == ["state", "device"]
    assert placed[-1].x + placed[-1].width <= width
    for before, after in pairwise(placed):
        assert before.x + before.width < after.x


def test_all_columns_at_200_and_the_vital_ones_at_80() -> None:
    """The wide layout has every column, the narrow one what an operator needs first."""
    wants = column_layout.wanted(FRAME.views, {})
    wide = [each.column.id for each in column_layout.layout(200, wants)]
    assert wide == [column.id for column in COLUMNS]
    narrow = {each.column.id for each in column_layout.layout(80, wants)}
    assert {"state", "device", "p99", "budget", "temp", "seen"} <= narrow
    assert column_layout.last_pan(200, wants) == 0


def test_panning_brings_every_column_into_sight() -> None:
    """What does not fit can be reached sideways; state and device stay."""
    wants = column_layout.wanted(FRAME.views, {})
    seen: set[str] = set()
    for pan in range(column_layout.last_pan(80, wants) + 1):
        placed = column_layout.layout(80, wants, pan)
        assert [each.column.id for each in placed[:2]] == ["state", "device"]
        seen |= {each.column.id for each in placed}
    assert seen == set(BY_ID)


def test_widths_only_grow() -> None:
    """A shorter text later does not make the columns jump."""
    wide = column_layout.wanted(FRAME.views, {})
    assert column_layout.wanted(FRAME.views[-1:], wide) == wide
    assert "site" not in [each.column.id for each in column_layout.layout(200, {})]


def test_the_worst_comes_first() -> None:
    """By default critical devices lead, then warnings, and healthy ones end the list."""
    ordered = columns.sort(FRAME.views, Order())
    assert [each.id for each in ordered[:4]] == ["dock-0188", "line-0064", "gate-0020", "cam-05"]
    budgets = [each.budget or 0 for each in ordered[4:]]
    assert budgets == sorted(budgets, reverse=True)


@pytest.mark.parametrize("column", columns.SORTABLE)
def test_every_column_sorts_both_ways_with_the_unknown_last(column: str) -> None:
    """Reversing turns the known around and leaves the unknown at the end."""
    key = BY_ID[column].key
    assert key is not None
    down = columns.sort(FRAME.views, Order(column))
    up = columns.sort(FRAME.views, Order(column, reverse=True))
    known = [key(each) for each in down if key(each) is not None]
    assert [key(each) for each in up if key(each) is not None] == known[::-1]
    for ordered in (down, up):
        missing = [key(each) is None for each in ordered]
        assert missing == sorted(missing)


def test_orders() -> None:
    """The same column again reverses; steps go round; the arrow tells the direction."""
    assert Order().by("p99") == Order("p99")
    assert Order("p99").by("p99") == Order("p99", reverse=True)
    assert Order("p99", reverse=True).by("p99") == Order("p99")
    assert Order().beside(-1).column == columns.SORTABLE[-1]
    assert Order("p99").arrow() == "▼"
    assert Order("device").arrow() == "▲"
    assert Order("device", reverse=True).arrow() == "▼"


def test_only_the_abnormal_has_colour() -> None:
    """Cells of a healthy device are plain; the reason of a bad one is not."""
    healthy = {BY_ID[name].cell(view("cart-0001"))[1] for name in ("p50", "p99", "budget", "temp")}
    assert healthy == {"text"}
    assert BY_ID["budget"].cell(view("dock-0188"))[1] == "crit"
    assert BY_ID["temp"].cell(view("line-0064"))[1] == "warn"
    hot = msgspec.structs.replace(view("line-0064"), max_temp_c=81.0)
    assert BY_ID["temp"].cell(hot)[1] == "crit"


def test_rows_that_are_not_live_are_quiet() -> None:
    """Old, gone and unknown rows have one role for everything."""
    assert columns.row_role(view("cart-0001")) is None
    assert columns.row_role(view("gate-0020")) == "stale"
    assert columns.row_role(view("cam-05")) == "unknown"


def test_the_head_says_who_how_and_why() -> None:
    """Id, level with reason, model, deadline, agent and link are in the head."""
    text = "\n".join(texts(device_lines.head(view("dock-0188"), 120, BRAILLE)))
    for part in ("dock-0188", "■ crit", "of the deadline", "link live", "up 3d4h"):
        assert part in text
    for part in ("active yolo-n/fp32", "deadline 50 ms", "agent 0.1.0", "jetson-orin-nano-15w"):
        assert part in text


def test_the_head_of_a_silent_device_counts_down() -> None:
    """Stale figures have their age, and the link its next try."""
    text = "\n".join(texts(device_lines.head(view("gate-0020"), 120, BRAILLE)))
    assert "figures are 9s old" in text
    assert "no answer to ping" in text
    assert "retry in 4s" in text
    never = "\n".join(texts(device_lines.head(view("cam-05"), 80, BRAILLE)))
    assert "connection refused" in never
    assert "nothing heard yet from ws://" in never


def test_a_refusing_device_needs_a_person() -> None:
    """A refused link is shown as an error."""
    refused = msgspec.structs.replace(
        view("cart-0001"), link=LinkState.REFUSED, link_reason="wrong token", level_reason=""
    )
    assert device_lines.link_text(refused) == ("link refused: wrong token", "crit")


@pytest.mark.parametrize("width", WIDTHS)
def test_device_texts_fit(width: int) -> None:
    """No line of the Device screen is wider than the screen."""
    for each in FRAME.views:
        lines = [
            *device_lines.head(each, width, BRAILLE),
            *device_lines.models(each, width, BRAILLE),
            *device_lines.events(FRAME.events(LAB_STORE, each.id), FRAME, width, BRAILLE),
            *gauges.grid(gauges.gauges(each, ()), width, BRAILLE),
        ]
        assert max(map(line_width, lines)) <= width


def test_the_models_table_names_failures() -> None:
    """A model that is not ready says why, and failures stand out."""
    lines = device_lines.models(view("dock-0188"), 200, BRAILLE)
    text = "\n".join(texts(lines))
    for part in ("version", "answered", "4711", "187 MiB", "signal 11", "failed"):
        assert part in text
    assert ("failed", "crit") in [(run[0].strip(), run[1]) for line in lines for run in line]
    assert "no sample yet" in texts(device_lines.models(view("cam-05"), 80, BRAILLE))[1]


def test_events_are_newest_first() -> None:
    """Time, shape, kind and message, the latest on top."""
    events = FRAME.events(LAB_STORE, "dock-0188")
    lines = texts(device_lines.events(events, FRAME, 100, BRAILLE))
    assert lines[1].startswith(" 14:32:29 ▲ late")
    assert "none heard so far" in texts(device_lines.events((), FRAME, 100, BRAILLE))[1]


def test_times_of_day_carry_the_date_when_it_is_another_day() -> None:
    """An old event does not look like one of today, and a mad clock does not raise."""
    assert FRAME.time_of(WALL.timestamp()) == "14:33:10"
    assert FRAME.time_of(WALL.timestamp() - 3 * 86400) == "28 Jun 14:33"
    assert FRAME.time_of(1e30) == "--:--:--"


def test_gauges_show_values_against_their_limits() -> None:
    """Latency against the deadline, temperature against its limit, power against its budget."""
    by_label = {gauge.label: gauge for gauge in gauges.gauges(view("dock-0188"), ())}
    assert list(by_label) == ["p50", "p95", "p99", "temp", "power", "cpu", "mem", "req/s"]
    assert by_label["p99"].role == "crit"
    assert by_label["p99"].limit == pytest.approx(0.8)
    assert by_label["power"].text.startswith("~")
    assert by_label["cpu"].limit is None
    line = plain(gauges.gauge_line(by_label["p99"], 60, BRAILLE))
    assert "│" in line
    assert line_width(gauges.gauge_line(by_label["p99"], 60, BRAILLE)) == 60


def test_unknown_gauges_are_empty_and_explained() -> None:
    """No reading, no bar; the reason is beneath."""
    by_label = {gauge.label: gauge for gauge in gauges.gauges(view("cart-0001"), ())}
    assert by_label["power"].text == "5.1 W" or by_label["power"].share is not None
    unknown = view("cam-03")
    gauge = next(each for each in gauges.gauges(unknown, ()) if each.label == "power")
    assert gauge.text == "n/a"
    assert "━" not in plain(gauges.bar(gauge, 20, BRAILLE))
    assert "no INA3221" in texts(gauges.reasons(unknown))[0]
    assert gauges.gauges(view("cam-05"), ()) == []
    assert gauges.reasons(view("cam-05")) == []


def test_power_without_a_budget_is_a_trend() -> None:
    """What has no limit is shown against its own recent past."""
    store, _ = single(LAB[0], 30)
    device = store.devices()[0]
    assert device.hello is not None
    spec = msgspec.structs.replace(device.hello.device, power_budget_w=None)
    device = msgspec.structs.replace(
        device, hello=msgspec.structs.replace(device.hello, device=spec)
    )
    points = store.points(device.id)
    gauge = next(each for each in gauges.gauges(device, points) if each.label == "power")
    assert gauge.trend is not None
    assert line_width(gauges.bar(gauge, 12, BRAILLE)) == 12
    assert plain(gauges.trend((None, 0.0), 3, BRAILLE)) == "──▁"


def test_simulated_readings_are_marked_on_the_device() -> None:
    """A picture of a simulation cannot be taken for a measurement."""
    sample = view("cart-0001").sample
    assert sample is not None
    reading = Reading(value=50.0, quality=Quality.SIMULATED)
    faked = msgspec.structs.replace(
        view("cart-0001"), sample=msgspec.structs.replace(sample, temp_c=reading)
    )
    gauge = next(each for each in gauges.gauges(faked, ()) if each.label == "temp")
    assert gauge.text == "50.0 °C sim"


@pytest.mark.parametrize(
    ("size", "devices", "place"),
    [
        ((80, 24), 10, Place.NONE),
        ((120, 40), 10, Place.LOWER),
        ((120, 30), 10, Place.NONE),
        ((200, 60), 10, Place.SIDE),
        ((140, 24), 10, Place.SIDE),
        ((200, 60), 31, Place.NONE),
        ((200, 60), 0, Place.NONE),
    ],
)
def test_the_inspector_needs_room(size: tuple[int, int], devices: int, place: Place) -> None:
    """Beside the table, below it, or not at all."""
    assert inspector.place(*size, devices) is place


@pytest.mark.parametrize("device", [each.id for each in LAB])
def test_the_inspector_fits_its_place(device: str) -> None:
    """Both forms have exactly the size they were given."""
    points = FRAME.points(LAB_STORE, device, 600)
    events = FRAME.events(LAB_STORE, device)
    side = inspector.side(view(device), FRAME, points, events, size=(60, 40), glyphs=BRAILLE)
    assert len(side) == 40
    assert {line_width(line) for line in side} == {60}
    lower = inspector.lower(view(device), FRAME, points, events, size=(120, 14), glyphs=BRAILLE)
    assert len(lower) <= 14
    assert max(map(line_width, lower)) <= 120


def test_stale_charts_lose_their_colours() -> None:
    """What is old is quiet wherever it is shown."""
    quiet = device_lines.quiet([(("a", "crit"), ("─", "faint"))], "stale")
    assert quiet == [(("a", "stale"), ("─", "faint"))]
    assert device_lines.quiet([(("a", "crit"),)], None) == [(("a", "crit"),)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_devices_keep_lines_in_bounds(text: str) -> None:
    """Whatever a device calls itself, lines have their width and no control characters."""
    store, _ = hostile()
    frame = take(store, WALL)
    device = frame.by_id[text]
    lines: list[Line] = [
        *device_lines.head(device, 80, BRAILLE),
        *device_lines.models(device, 80, BRAILLE),
        *device_lines.events(frame.events(store, text), frame, 80, BRAILLE),
        health_line(frame, 80, BRAILLE, None),
    ]
    for line in lines:
        assert line_width(line) <= 80
        assert plain(line).isprintable()


def test_a_frame_is_one_moment() -> None:
    """Points that came after a frame was taken are not part of it."""
    store, clock = single(seconds=60)
    frame = take(store, WALL)
    before = frame.points(store, "dock-0188", 30)
    sample = store.devices()[0].sample
    assert sample is not None
    clock.now += 5
    store.add_sample("dock-0188", sample)
    assert frame.points(store, "dock-0188", 30) == before
    assert take(store, WALL).points(store, "dock-0188", 30) != before


def test_a_large_fleet_is_counted() -> None:
    """Every device is in exactly one count."""
    frame = take(many(200, 2)[0], WALL)
    assert sum(frame.counts.values()) == 200
    assert frame.worst is not None
    assert frame.worst.freshness is Freshness.LIVE


def test_line_tools() -> None:
    """Cutting, padding, joining and placing side by side keep their widths."""
    line: Line = (("abcdef", "text"), ("寿司", "crit"))
    assert plain(crop(line, 8)) == "abcdef…" or line_width(crop(line, 8)) <= 8
    assert line_width(pad(line, 20)) == 20
    assert line_width(pad(line, 5)) == 5
    assert plain(join([(), (("a", "text"),), (("b", "text"),)], "--")) == "a--b"
    assert plain(spread((("a", "text"),), (("b", "text"),), 5)) == "a   b"
    assert plain(spread((("a", "text"),), (), 3)) == "a  "
    both = beside([([(("a", "text"),)], 3), ([(("b", "text"),), (("c", "text"),)], 2)], 1)
    assert texts(both) == ["a   b", "    c"]


def test_small_tables_drop_columns_by_rank() -> None:
    """The highest ranks go first."""
    heads = (Head("a", 1, right=False), Head("bb", 3), Head("c", 2))
    rows = [[("1", "text"), ("2", "text"), ("3", "text")]]
    assert texts(table(heads, rows, 80)) == ["a  bb  c  ", "1   2  3  "]
    assert texts(table(heads, rows, 7))[0] == "a  c  "


def test_shapes_differ_without_colours() -> None:
    """Every level has a shape of its own in every alphabet."""
    for glyphs in (BRAILLE, ASCII):
        assert len(set(glyphs.shapes.values())) == len(glyphs.shapes)
    assert all(shape.isascii() for shape in ASCII.shapes.values())
