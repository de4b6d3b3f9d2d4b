"""Helpers to run the console in tests and to read what it shows."""

from __future__ import annotations

from typing import Any

from fleets import CannedService, Clock, wall_of
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from edgeconsole.fleet.store import FleetStore
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.runs import Line, plain


def make_app(fleet: tuple[FleetStore, Clock], **options: Any) -> EdgeConsoleApp:
    """Return a console over a canned fleet, with a time of day that follows its clock."""
    store, clock = fleet
    options.setdefault("wall_clock", wall_of(clock))
    return EdgeConsoleApp(CannedService(store), **options)


def picture(app: EdgeConsoleApp) -> str:
    """Return the text on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def rows_of(app: EdgeConsoleApp) -> list[str]:
    """Return the ids of the devices on show, in order."""
    return [view.id for view in app.state.rows()]


def texts(lines: list[Line]) -> list[str]:
    """Return lines without their roles."""
    return [plain(line) for line in lines]


async def burst(pilot: Pilot[Any], *keys: str) -> None:
    """Type keys as fast as a paste over a slow line: all are there before the first is handled."""
    for key in keys:
        character = key if len(key) == 1 else None
        name = _character_to_key(key) if character else key
        pilot.app.post_message(events.Key(name, character))
    await pilot.pause()
    await pilot.pause()
