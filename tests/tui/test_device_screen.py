"""The Device screen."""

from __future__ import annotations

import pytest
from driving import make_app, picture
from fleets import lab, single, stale

from edgeconsole.fleet.store import Point
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.fleet import FleetScreen
from edgeconsole.tui.widgets.painted import Lines


async def test_a_fleet_of_one_opens_on_its_device() -> None:
    """Escape still reaches the fleet."""
    app = make_app(single(seconds=60))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, FleetScreen)
        assert "dock-0188" in picture(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_parts_at_three_sizes(size: tuple[int, int]) -> None:
    """Head, gauges, latency and models are in sight at once at every size."""
    app = make_app(single(seconds=120))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = picture(app)
        for part in (
            "■ crit",
            "p99",
            "temp",
            "latency ms",
            "deadline 50",
            "now",
            "models",
            "yolo-n",
        ):
            assert part in text
        assert ("temperature °C" in text) is (size[0] >= 100)
        assert ("load %" in text) is (size[1] >= 40)


async def test_it_scrolls_to_what_does_not_fit() -> None:
    """The events are below the fold at 80x24 and can be reached and left."""
    app = make_app(single(seconds=60))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "agent_started" not in picture(app)
        await pilot.press("G")
        await pilot.pause()
        assert "agent_started" in picture(app)
        await pilot.press("g", "j", "k", "ctrl+f", "ctrl+b")
        await pilot.pause()
        assert "■ crit" in picture(app)


async def test_unknown_readings_have_their_reason() -> None:
    """The device's own words say why there is no figure."""
    app = make_app(lab(30))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.open_device("cam-03")
        await pilot.pause()
        assert "n/a: no power sensor: no INA3221" in picture(app)


async def test_a_silent_device_is_quiet_and_counts_down() -> None:
    """Old figures stay in place, without colour, with their age; the link says when it tries."""
    app = make_app(stale())
    async with app.run_test(size=(120, 40)) as pilot:
        await app.open_device("dock-0188")
        await pilot.pause()
        text = picture(app)
        for part in ("◐ stale", "figures are 14s old", "retry in 6s"):
            assert part in text
        roles = {role for line in app.screen.query_one("#models", Lines).lines for _, role in line}
        assert roles <= {"stale", "faint"}


async def test_a_device_never_heard_is_unknown() -> None:
    """Without a sample there are no figures, and the screen says what the link does."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await app.open_device("cam-05")
        await pilot.pause()
        text = picture(app)
        for part in ("? unknown", "connection refused", "nothing heard yet from ws://"):
            assert part in text


async def test_charts_are_drawn_again_only_when_they_move() -> None:
    """A tick within the same column costs no drawing."""
    store, clock = single(seconds=60)
    app = make_app((store, clock), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.tick()
        chart = app.screen.query_one("#latency", Lines)
        before = chart.lines
        app.tick()
        assert chart.lines is before
        clock.now += 3
        app.tick()
        assert chart.lines is not before


async def test_resizing_rearranges_the_charts() -> None:
    """Charts move side by side when there is room."""
    app = make_app(single(seconds=60))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "temperature °C" not in picture(app)
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.4)
        assert "temperature °C" in picture(app)


async def test_longer_times_come_from_the_history() -> None:
    """`[` asks for an hour and says that it is being read, draws it once it is there, `]` goes back."""
    store, clock = single(seconds=60)
    app = make_app((store, clock))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("[")
        await pilot.pause()
        assert store.wanted == ("dock-0188", 3600.0)
        text = picture(app)
        assert "last 1h" in text
        assert "reading the history" in text
        points = tuple(
            Point(clock.now - 3000 + at, 1.0, 2.0, 3.0, 50.0, 5.0, 10.0, 20.0, 1.0)
            for at in range(3000)
        )
        store.put_past("dock-0188", 86_400.0, points)  # Of another time: nobody wants it now.
        app.tick()
        assert "reading the history" in picture(app)
        store.put_past("dock-0188", 3600.0, points)
        app.tick()
        await pilot.pause()
        assert "reading the history" not in picture(app)
        await pilot.press("[", "[", "[", "[", "[", "[")
        await pilot.pause()
        assert "last 30d" in picture(app)
        await pilot.press("]", "]", "]", "]", "]", "]")
        await pilot.pause()
        assert "last 1h" not in picture(app)
        assert store.wanted is None
