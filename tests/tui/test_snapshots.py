"""How both screens look; a changed picture has to be looked at and accepted by a person."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from driving import make_app
from fleets import (
    CannedDesk,
    Clock,
    audited,
    empty,
    explained,
    fallen,
    hostile,
    lab,
    many,
    single,
    stale,
    switched,
)
from textual.pilot import Pilot

from edgeconsole.fleet.store import FleetStore
from edgeconsole.tui.actions import TypeAheadGuard

Compare = Callable[..., bool]
Fleet = Callable[[], tuple[FleetStore, Clock]]

SIZES = [(80, 24), (120, 40), (200, 60)]


def look(
    snap_compare: Compare, fleet: tuple[FleetStore, Clock], size: tuple[int, int], *keys: str
) -> bool:
    """Compare what is shown after some keys with the accepted picture."""
    app = make_app(fleet, refresh_hz=1)
    # Keys come as fast as they can be pressed; the pictures are not about the guard.
    app.state.guard = TypeAheadGuard(count(-1e6).__next__)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    desk.said, desk.rows = explained(), audited()

    async def settle(pilot: Pilot[int]) -> None:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        app.tick()
        await pilot.pause()

    return snap_compare(app, terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_fleet(snap_compare: Compare, size: tuple[int, int]) -> None:
    """The Fleet screen with ten devices."""
    assert look(snap_compare, lab(), size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_device(snap_compare: Compare, size: tuple[int, int]) -> None:
    """The Device screen with a critical device."""
    assert look(snap_compare, single(), size)


SCREENS = {
    "fleet": (),
    "device": ("enter",),
    "confirm": ("F",),
    "thermal": ("T",),
    "why": ("e",),
    "audit": ("colon", *"audit", "enter"),
    "models": ("3",),
    "model": ("3", "j", "enter"),
    "optimize": ("O",),
    "jobs": ("4",),
    "job": ("4", "j", "j", "enter"),
    "activate": ("4", "j", "j", "A"),
    "deploy": ("3", "j", "D"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
def test_failsafe(snap_compare: Compare, screen: str, size: tuple[int, int]) -> None:
    """A fleet with a device on its fallback, one forced, and an order queued, on every screen."""
    assert look(snap_compare, fallen(), size, *SCREENS[screen])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_switched(snap_compare: Compare, size: tuple[int, int]) -> None:
    """The Device screen two minutes after a faster variant began to answer."""
    assert look(snap_compare, switched(), size, "enter")


@pytest.mark.parametrize(
    ("fleet", "size", "keys"),
    [
        pytest.param(stale, (120, 40), (), id="stale-fleet"),
        pytest.param(stale, (120, 40), ("enter",), id="stale-device"),
        pytest.param(empty, (80, 24), (), id="empty-fleet"),
        pytest.param(hostile, (120, 40), (), id="hostile-fleet"),
        pytest.param(hostile, (120, 40), ("enter",), id="hostile-device"),
        pytest.param(lab, (120, 40), ("colon", "d", "e"), id="command"),
        pytest.param(lab, (100, 30), ("question_mark",), id="help"),
        pytest.param(lambda: many(1_000, 2), (120, 40), (), id="thousand"),
        pytest.param(lab, (50, 12), (), id="too-small"),
        pytest.param(fallen, (80, 24), ("R",), id="release"),
        pytest.param(lab, (120, 40), ("space", "j", "space", "j", "space", "B"), id="many"),
        pytest.param(hostile, (120, 40), ("F",), id="hostile-confirm"),
    ],
)
def test_special_cases(
    snap_compare: Compare, fleet: Fleet, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    """Old data, no data, hostile data, a prompt, the help, many devices, no room."""
    assert look(snap_compare, fleet(), size, *keys)
