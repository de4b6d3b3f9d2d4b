"""The Fleet screen under keys and mouse."""

from __future__ import annotations

import random

import pytest
from driving import burst, make_app, picture, rows_of
from fleets import LAB, Kind, empty, fill, hostile, lab, many, sample

from edgeconsole.tui.columns import Order
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.fleet import FleetScreen
from edgeconsole.tui.widgets.table import FleetTable


def table_of(screen: object) -> FleetTable:
    """Return the table of the Fleet screen."""
    assert isinstance(screen, FleetScreen)
    return screen.table


def selected(screen: object) -> str:
    """Return the device under the cursor."""
    view = table_of(screen).selected
    assert view is not None
    return view.id


async def test_it_starts_with_the_worst() -> None:
    """All devices are listed, the worst on top and under the cursor."""
    app = make_app(lab(60))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = picture(app)
        assert all(kind.id in text for kind in LAB)
        assert selected(app.screen) == "dock-0188"
        assert rows_of(app)[0] == "dock-0188"


_MOVES = (
    ("j", 1),
    ("down", 1),
    ("j j k", 1),
    ("G", 9),
    ("end up", 8),
    ("G g", 0),
    ("k", 0),
    ("ctrl+f", 9),
    ("pagedown pageup", 0),
    ("G ctrl+b", 0),
)


async def test_the_cursor_moves() -> None:
    """Letters, arrows and pages move it, and it stays inside."""
    app = make_app(lab(30))
    async with app.run_test(size=(80, 24)) as pilot:
        for keys, place in _MOVES:
            await pilot.press("home")
            await burst(pilot, *keys.split())
            assert selected(app.screen) == rows_of(app)[place], keys


async def test_the_cursor_stays_on_its_device() -> None:
    """When the order changes, the cursor goes with the device and not with the row."""
    store, clock = lab(30)
    app = make_app((store, clock))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("G")
        name = selected(app.screen)
        bad = Kind(name, base_ms=400, spare=None)
        fill(store, clock, bad, 2)
        app.tick()
        await pilot.pause()
        assert rows_of(app)[0] == name
        assert selected(app.screen) == name


async def test_the_cursor_survives_its_device_being_filtered_out() -> None:
    """It then takes a row that is there."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "j", "slash", *"cart", "enter")
        await pilot.pause()
        assert selected(app.screen) in {"cart-0001", "cart-0002"}


async def test_scrolling_follows_the_cursor_in_a_large_fleet() -> None:
    """The last of many rows can be reached and seen."""
    app = make_app(many(200, 2))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("G")
        await pilot.pause()
        assert rows_of(app)[-1] in picture(app)
        await pilot.press("g")
        await pilot.pause()
        assert rows_of(app)[0] in picture(app)


async def test_sorting_by_keys() -> None:
    """Shift and arrows choose the column, `s` turns it round, the header shows both."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("shift+right")
        await pilot.pause()
        assert app.state.order == Order("device")
        assert rows_of(app) == sorted(kind.id for kind in LAB)
        assert "device▲" in picture(app)
        await pilot.press("s")
        await pilot.pause()
        assert rows_of(app) == sorted((kind.id for kind in LAB), reverse=True)
        assert "device▼" in picture(app)
        await pilot.press("shift+left")
        assert app.state.order == Order("state")


async def test_sorting_by_mouse() -> None:
    """A click on a header sorts by it, a second one reverses."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        place = picture(app).splitlines()[1].index("device")
        await pilot.click(FleetTable, offset=(place + 1, 0))
        await pilot.pause()
        assert app.state.order == Order("device")
        await pilot.click(FleetTable, offset=(place + 1, 0))
        await pilot.pause()
        assert app.state.order == Order("device", reverse=True)


async def test_clicks_choose_and_then_open() -> None:
    """The first click on a row moves the cursor, the next opens the device."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        name = rows_of(app)[2]
        await pilot.click(FleetTable, offset=(20, 3))
        assert selected(app.screen) == name
        await pilot.click(FleetTable, offset=(20, 3))
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        assert app.screen.device_id == name
        await pilot.click("#crumbs", offset=(3, 0))
        await pilot.pause()
        assert isinstance(app.screen, FleetScreen)


async def test_clicks_below_the_rows_do_nothing() -> None:
    """Empty space is not a device, and a column that cannot sort does not."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.click(FleetTable, offset=(20, 20))
        spark = picture(app).splitlines()[1].index("p99/60s")
        await pilot.click(FleetTable, offset=(spark + 1, 0))
        assert selected(app.screen) == "dock-0188"
        assert app.state.order == Order()


async def test_faults_only() -> None:
    """`z` hides the healthy; Escape brings them back."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("z")
        await pilot.pause()
        assert "cart-0001" not in rows_of(app)
        assert "faults only" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(rows_of(app)) == len(LAB)


async def test_marks_are_counted_and_kept() -> None:
    """Space marks and unmarks the device under the cursor."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("space", "j", "space")
        await pilot.pause()
        assert "2 marked" in picture(app)
        assert picture(app).count("✓") == 2
        await pilot.press("space")
        assert table_of(app.screen).marks == {"dock-0188"}


async def test_columns_give_way_and_come_back_sideways() -> None:
    """At 80 columns some are gone; `l` and `h` bring them."""
    app = make_app(lab(30))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "mem%" not in picture(app)
        assert table_of(app.screen).can_pan
        await burst(pilot, *["l"] * 20)
        await pilot.pause()
        assert "mem%" in picture(app)
        await burst(pilot, *["h"] * 20)
        await pilot.pause()
        assert "p99" in picture(app)
        await pilot.resize_terminal(200, 60)
        await pilot.pause(0.4)
        assert "mem%" in picture(app)


async def test_the_inspector_follows_the_cursor() -> None:
    """With few devices and room, the chosen one shows its charts and last events."""
    app = make_app(lab(60))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "12 results came after" in picture(app)
        await pilot.press("j")
        await pilot.pause()
        assert "80.4 °C, warning" in picture(app)
        assert "12 results came after" not in picture(app)


async def test_an_empty_fleet_says_what_to_do() -> None:
    """No devices is a state with an explanation, and keys do no harm."""
    app = make_app(empty())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "G", "space", "enter", "l", "s")
        await pilot.pause()
        assert "no devices yet" in picture(app)
        assert "fleet.toml" in picture(app)


async def test_a_filter_that_keeps_nothing_says_so() -> None:
    """The way back is named."""
    app = make_app(lab(10))
    async with app.run_test(size=(80, 24)) as pilot:
        await burst(pilot, "slash", *"zzz", "enter")
        await pilot.pause()
        assert "No device matches" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "dock-0188" in picture(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_hostile_names_are_shown_not_obeyed(size: tuple[int, int]) -> None:
    """Markup, escapes and wide characters on every screen, with every row visited."""
    app = make_app(hostile())
    async with app.run_test(size=size) as pilot:
        await burst(pilot, *["j"] * 8, "g")
        await pilot.pause()
        assert "[/nope]" in picture(app)
        for name in app.state.store.ids()[:: 1 if size == (80, 24) else 3]:
            await app.open_device(name)
            await pilot.pause()
            assert isinstance(app.screen, DeviceScreen)
            assert picture(app).replace("\n", "").isprintable()
            await pilot.press("escape")
        await burst(pilot, "question_mark", "escape", "slash", *"[/x]", "enter")
        await pilot.pause()
        assert picture(app).replace("\n", "").isprintable()


async def test_only_changed_lines_are_painted_again() -> None:
    """A tick without news repaints no row; a sample repaints its own."""
    store, clock = lab(30)
    app = make_app((store, clock), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        table = table_of(app.screen)
        painted: list[object] = []
        refresh = table.refresh
        table.refresh = lambda *args, **kwargs: (painted.append(args), refresh(*args, **kwargs))[1]  # type: ignore[method-assign]
        app.tick()
        assert not painted
        heard = store.devices()[1].sample
        assert heard is not None
        store.add_sample("cart-0001", sample(LAB[1], 0.9, 500, random.Random(1)))
        app.tick()
        assert len(painted) == 1
        assert len(painted[0]) == 1  # type: ignore[arg-type]
