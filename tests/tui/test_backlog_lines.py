"""What a device keeps of its telemetry, on the Device screen: quiet while all is well."""

from __future__ import annotations

import pytest
from driving import make_app, texts
from fleets import Clock, single
from msgspec.structs import replace

from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.telemetry import BacklogSample
from edgeconsole.tui.backlog_lines import backlog
from edgeconsole.tui.runs import Line, line_width
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.widgets.painted import Lines

CURRENT = BacklogSample(used_bytes=110_592, budget_bytes=16 << 20, samples=95)


def fleet_with(kept: BacklogSample | None) -> tuple[FleetStore, Clock]:
    """Return a store with one device that has this backlog, with ages from its own clock."""
    store, clock = single(seconds=60)
    (device,) = store.ids()
    view = store.device(device)
    assert view is not None
    assert view.sample is not None
    now = view.sample.time_unix_s
    if kept is not None and kept.was_read:
        kept = replace(kept, oldest_unix_s=now - 7200.0, asked_unix_s=now - 40.0)
    store.add_sample(device, replace(view.sample, backlog=kept, seq=view.sample.seq + 1))
    return store, clock


def lines_of(kept: BacklogSample | None, width: int = 160) -> list[Line]:
    """Return the lines of a device that has this backlog."""
    store, _ = fleet_with(kept)
    view = store.device(store.ids()[0])
    assert view is not None
    return backlog(view, width)


def roles(lines: list[Line]) -> set[str | None]:
    """Return the roles of all runs."""
    return {role for line in lines for _, role in line}


def test_what_is_usual_is_quiet() -> None:
    """Where a console is current: how much, how old, fetched when; no colour asks to be looked at."""
    lines = lines_of(CURRENT)
    assert texts(lines) == [
        " backlog 0.1 MiB of 16 MiB   95 samples wait   oldest 2h   fetched 40s ago"
    ]
    assert roles(lines) <= {"text", "muted"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"used_bytes": 14 << 20}, "14 MiB of 16 MiB"),
        ({"dropped_total": 1200}, "1,200 samples lost"),
        ({"gaps": 1}, "1 gap "),
        ({"gaps": 2}, "2 gaps"),
        ({"thinned_blocks": 30}, "30 min thinned"),
        ({"problem": "the disk is full"}, "not written: the disk is full"),
    ],
)
def test_what_is_lost_or_near_to_it_is_marked(changed: dict[str, object], words: str) -> None:
    """Nearly full, lost, thinned, refused: each is said, and is the one thing marked."""
    lines = lines_of(replace(CURRENT, **changed))
    (marked,) = [text for line in lines for text, role in line if role == "warn"]
    assert words.strip() == marked
    assert words in "\n".join(texts(lines))


def test_what_is_unknown_is_not_zero() -> None:
    """A backlog that could never be read has no figures, and the reason is there."""
    lines = lines_of(BacklogSample(0, 16 << 20, problem="state/outbox.db: cannot be opened"))
    assert texts(lines) == [" backlog n/a", "   not written: state/outbox.db: cannot be opened"]
    assert lines_of(None) == []


def test_hostile_words_and_narrow_screens() -> None:
    """A device's words are escaped and every line fits."""
    for width in (20, 40, 79):
        kept = replace(CURRENT, problem="\x1b[31m" + "x" * 200, dropped_total=10**9)
        for line in lines_of(kept, width):
            assert line_width(line) <= width
            assert "\x1b" not in "".join(text for text, _ in line)


async def test_it_is_on_the_device_screen() -> None:
    """The screen shows the line, and nothing for an agent that does not tell."""
    for kept, shown in ((CURRENT, True), (None, False)):
        store, clock = fleet_with(kept)
        app = make_app((store, clock))
        async with app.run_test(size=(120, 40)) as pilot:
            app.push_screen(DeviceScreen(app.state, store.ids()[0]))
            await pilot.pause()
            lines = app.screen.query_one("#backlog", Lines)
            assert lines.display is shown
            assert bool(texts(lines.lines)) is shown
