"""Blocks from devices and minutes from memory in one history: whatever the order, one truth."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeconsole.errors import StoreError
from edgeconsole.fleet import database, late, past, upkeep
from edgeconsole.fleet.history import History
from edgeconsole.fleet.late import LateBlock
from edgeconsole.fleet.minutes import OpenMinutes
from edgeconsole.fleet.past import Resolution
from edgeconsole.protocol.backlog import Block, Gap
from edgeconsole.protocol.failsafe import Transition
from edgeconsole.protocol.figures import Figures, figures_of
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.rollups import Rollup, fold
from edgeconsole.protocol.telemetry import DeviceSample
from edgeconsole.protocol.thermal import ThermalState, ThermalTransition

Make = Callable[..., Any]
START = 1_750_000_020
"""The beginning of a minute."""
HOUR = START // 3600 * 3600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a history with its tables."""
    file = tmp_path / "history.db"
    database.make(file)
    return file


@pytest.fixture
def seconds(make_sample: Make, make_model: Make) -> Callable[..., list[Figures]]:
    """Return a function that makes a busy device's samples, one a second."""

    def make(start: float, count: int, *, boot_id: str = "boot-1", first: int = 0) -> list[Figures]:
        made: list[Figures] = []
        for number in range(first, first + count):
            model = make_model(p99_ms=float(number % 7), rate_per_s=1.0, failed_total=number * 2)
            sample: DeviceSample = make_sample(
                number, time_unix_s=start + number - first, models=(model,), boot_id=boot_id
            )
            made.append(figures_of(sample))
        return made

    return make


def block(kept: list[Figures], last: int, **changes: Any) -> LateBlock:
    """Return a whole minute as a device sends it."""
    whole = Block(tuple(kept), rollup=fold(kept), minute_unix_s=kept[0].time_unix_s // 60 * 60)
    return LateBlock("boot-1", last, msgspec.structs.replace(whole, **changes))


def minutes(path: Path, device_id: str = "a") -> list[tuple[object, ...]]:
    """Return the start, samples and failures of each minute in the history."""
    columns, rows = past.table(path, device_id, (0.0, 1e11), Resolution.MINUTE)
    places = [columns.index(name) for name in ("start_unix_s", "samples", "failed")]
    return [tuple(row[place] for place in places) for row in rows]


def test_writing_twice_changes_nothing(path: Path, seconds: Make) -> None:
    """The second time no sample is new; rows and minutes stay as they are."""
    given = [block(seconds(START, 60), 60)]
    assert late.write(path, "a", given) == 60
    before = minutes(path)
    assert late.write(path, "a", given) == 0
    assert minutes(path) == before == [(START, 60, 118)]
    assert late.cursor(path, "a") == ("boot-1", 60)
    assert late.cursor(path, "b") == ("", 0)


def test_a_late_block_corrects_a_minute_that_was_seen_in_part(path: Path, seconds: Make) -> None:
    """A console that came in the middle counted half a minute; the device's own rollup replaces it."""
    samples = seconds(START, 60)
    half = OpenMinutes()
    for each in samples[30:]:
        half.add("a", "boot-1", each)
    late.write_closed(path, half.close_before(START + 60.0))
    assert minutes(path) == []  # Its samples are not there either.
    late.write(path, "a", [block(samples[:40], 40, rollup=None)])
    assert minutes(path) == [(START, 40, 78)]
    late.write(path, "a", [block(samples, 60)])
    assert minutes(path) == [(START, 60, 118)]
    late.write(path, "a", [block(samples[:40], 40, rollup=None)])
    assert minutes(path) == [(START, 60, 118)]


def test_two_starts_in_one_minute_are_added_up(path: Path, seconds: Make) -> None:
    """Counters begin anew with a start; both parts of the minute count."""
    first, second = seconds(START, 20), seconds(START + 30, 30, boot_id="boot-2")
    late.write(path, "a", [block(first, 20)])
    after = msgspec.structs.replace(block(second, 30), boot_id="boot-2")
    late.write(path, "a", [after])
    assert minutes(path) == [(START, 50, 38 + 58)]


def test_a_thinned_minute_keeps_its_rollup(path: Path, seconds: Make) -> None:
    """Of a minute of which only every eighth sample, or none, is left, all samples are counted."""
    samples = seconds(START, 60)
    late.write(path, "a", [block(samples, 60, samples=tuple(samples[::8]), every=8)])
    later = seconds(START + 60, 60, first=60)
    late.write(path, "a", [block(later, 120, samples=(), every=0)])
    assert [row[:2] for row in minutes(path)] == [(START, 60), (START + 60, 60)]


def test_gaps_are_kept_and_grow(path: Path) -> None:
    """A device's record of what is gone takes the place of the shorter one before it."""
    for until in (START + 60.0, START + 600.0):
        gap = Gap(START, until, 60, 0, "no room")
        late.write(path, "a", [LateBlock("boot-1", 1, Block(gap=gap))])
    assert past.gaps(path, "a", (0.0, 1e11)) == [Gap(START, START + 600.0, 60, 0, "no room")]
    assert past.gaps(path, "a", (0.0, START - 1.0)) == []


def test_a_block_that_cannot_be_read_moves_the_cursor(path: Path) -> None:
    """What will never be readable is not asked for again."""
    assert late.write(path, "a", [LateBlock("boot-1", 9, None)]) == 0
    assert late.cursor(path, "a") == ("boot-1", 9)
    late.forget_cursor(path, "a")
    assert late.cursor(path, "a") == ("", 0)


def test_transitions_that_nobody_heard_are_told_late(path: Path, make_event: Make) -> None:
    """What ladder and heat did meanwhile is in the history as if it had been heard, and once."""
    heat = ThermalTransition(ThermalState.WARM, ThermalState.HOT, 2, 3, "hot_temperature", 5.0)
    rung = Transition("digits", Rung.PRIMARY, Rung.FALLBACK, "breaker_open", 6.0)
    events = (make_event(1), make_event(2, thermal=heat), make_event(3, transition=rung))
    for _ in range(2):
        assert late.write(path, "a", [LateBlock("boot-1", 3, Block((), events))]) == 0

    async def look() -> tuple[Any, ...]:
        history = History(path)
        await history.open()
        try:
            found = await history.recent_events("a", 9)
            heats = await history.thermal_transitions("a", 9)
            return found, heats, await history.transitions("a", "", 9)
        finally:
            await history.close()

    assert asyncio.run(look()) == (list(events), [heat], [rung])


def test_a_full_disk_keeps_the_cursor_where_it_was(
    path: Path, seconds: Make, monkeypatch: Any
) -> None:
    """Blocks and cursor are one transaction: what was not written is not acknowledged."""
    late.write(path, "a", [block(seconds(START, 60), 60)])
    plain = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = plain(*arguments, **options)
        connection.execute("PRAGMA max_page_count=1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    many = [block(seconds(START + 60 * n, 60), 60 * n + 60) for n in range(1, 60)]
    with pytest.raises(StoreError, match="full"):
        late.write(path, "a", many)
    monkeypatch.undo()
    assert late.cursor(path, "a") == ("boot-1", 60)
    assert minutes(path) == [(START, 60, 118)]


def test_hours_and_fleet_lines_follow_late_minutes(path: Path, seconds: Make) -> None:
    """What was summed up is summed up again when a device tells more of that time."""
    now = HOUR + 3 * 3600.0
    first = seconds(HOUR, 60)
    late.write(path, "a", [block(first, 60)])
    while upkeep.sum_up(path, "plant", ["a", "b"], now):
        pass
    (hour,) = past.table(path, "a", (0.0, 1e11), Resolution.HOUR)[1]
    assert hour[1] == 60
    late.write(path, "a", [block(seconds(HOUR + 60, 60, first=60), 120)])
    late.write(path, "b", [block(first, 60)])
    late.write(path, "stranger", [block(first, 60)])
    while upkeep.sum_up(path, "plant", ["a", "b"], now):
        pass
    (hour,) = past.table(path, "a", (0.0, 1e11), Resolution.HOUR)[1]
    assert hour[1] == 120
    columns, rows = past.fleet_table(path, "plant", (0.0, 1e11))
    lines = past.as_objects(columns, rows)
    assert [(each["devices"], each["samples"]) for each in lines] == [(2, 120), (1, 60)]
    assert [each["rate_per_s"] for each in lines] == [2.0, 1.0]
    assert [(each["power_w"], each["power_known"]) for each in lines] == [(None, 0), (None, 0)]
    assert past.fleet_table(path, "another", (0.0, 1e11))[1] == []


def test_an_hour_that_goes_on_waits(path: Path, seconds: Make) -> None:
    """Neither the open hour nor the open minute of the fleet is summed up before its end."""
    late.write(path, "a", [block(seconds(HOUR, 60), 60)])
    upkeep.sum_up(path, "plant", ["a"], HOUR + 61.0)
    assert past.table(path, "a", (0.0, 1e11), Resolution.HOUR)[1] == []
    assert past.fleet_table(path, "plant", (0.0, 1e11))[1] == []
    points = past.points(path, "a", (HOUR, HOUR + 3600.0), Resolution.HOUR, 0.0)
    assert [point.at for point in points] == [HOUR + 30.0]  # The minute stands in for it.


def test_charts_read_the_coarse_and_end_with_the_fine(path: Path, seconds: Make) -> None:
    """Hours, then minutes that are not summed up yet, then samples; none twice; spikes stay."""
    for n in range(0, 3660, 60):
        late.write(path, "a", [block(seconds(HOUR + n, 60, first=n), n + 60)])
    upkeep.sum_up(path, "plant", ["a"], HOUR + 3600.0 + 100)
    tail = seconds(HOUR + 3660, 5, first=3660)
    with database.transaction(path) as connection:
        late._write_block(connection, "a", LateBlock("boot-1", 1, Block(tuple(tail))))
        connection.execute("DELETE FROM m1 WHERE start_unix_s >= ?", (HOUR + 3660,))
    points = past.points(path, "a", (HOUR, HOUR + 9000.0), Resolution.HOUR, 10.0)
    at = [point.at - 10 - HOUR for point in points]
    assert at == [1800.0, 3630.0, 3660.0, 3661.0, 3662.0, 3663.0, 3664.0]
    assert points[0].p99_ms == 6.0
    assert past.resolution_for(600) is Resolution.RAW
    assert past.resolution_for(86400) is Resolution.MINUTE
    assert past.resolution_for(30 * 86400) is Resolution.HOUR


def test_memory_and_backlog_agree_in_any_order(tmp_path: Path, seconds: Make) -> None:
    """Live minutes and late blocks at random, with losses and repeats: every minute ends up whole."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    samples = seconds(START, 600)
    blocks = [block(samples[n : n + 60], n + 60) for n in range(0, 600, 60)]
    for number in range(10):
        file = tmp_path / f"{number}.db"
        database.make(file)
        live = OpenMinutes()
        closed = [
            done
            for each in samples
            if chance.random() < 0.8 and (done := live.add("a", "boot-1", each))
        ]
        work: list[Callable[[], object]] = [
            partial(late.write, file, "a", [each]) for each in blocks
        ]
        work += work[: chance.randrange(10)]
        work.append(partial(late.write_closed, file, closed))
        chance.shuffle(work)
        for each in work:
            each()
        assert [row[1] for row in minutes(file)] == [60] * 10


def test_a_minute_in_memory_ends_with_the_next_or_with_silence(seconds: Make) -> None:
    """A whole minute has its rollup, with what was counted since the one before; a part has none."""
    live = OpenMinutes()
    samples = seconds(START, 125)
    closed = [done for each in samples if (done := live.add("a", "boot-1", each))]
    assert [each.start_unix_s for each in closed] == [START, START + 60]
    second = closed[1].rollup
    assert isinstance(second, Rollup)
    assert (second.samples, second.failed) == (60, 120)
    assert live.close_before(START + 179.0) == []
    (last,) = live.close_before(START + 180.0)
    assert (last.start_unix_s, last.rollup) == (START + 120, None)
    assert live.close_before(1e11) == []
