"""What a device keeps while nobody listens, in real SQLite: bounded, in order, until acknowledged."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.backlog import unpack
from edgeconsole.protocol.figures import figures_of
from edgeconsole.runtime.offline import backlog as module
from edgeconsole.runtime.offline import room
from tests.runtime.offline.device import SINK, START_UNIX_S, Device, samples

Make = Callable[..., Device]


def size_of(path: Path) -> int:
    """Return the size of a file in bytes."""
    return path.stat().st_size


def put(path: Path, content: bytes) -> None:
    """Write a file in the backlog's place."""
    path.parent.mkdir()
    path.write_bytes(content)


def aside(path: Path) -> bytes:
    """Return what is in the one file that was moved aside."""
    (moved,) = path.parent.glob("outbox.db.damaged-*")
    return moved.read_bytes()


def overwrite(path: Path) -> None:
    """Let every byte of a file be wrong."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\xa5" * size)


def rows(path: Path) -> int:
    """Return how many blocks another program sees."""
    database = sqlite3.connect(path)
    try:
        found: int = database.execute("SELECT count(*) FROM block").fetchone()[0]
    finally:
        database.close()
    return found


async def test_what_was_kept_is_handed_over_in_order(make_device: Make) -> None:
    """Every sample and event comes once, as it was, oldest first, with the rollup of each minute."""
    device = make_device()
    await device.manager.open()
    lived = []
    for second in range(200):
        lived.append(device.sample())
        device.manager.add_sample(lived[-1])
        if second in (5, 70):
            device.event("rung_changed")
        device.unix_s += 1
    blocks = await device.drain(limit=1)
    assert samples(blocks) == [figures_of(each) for each in lived]
    assert [event.kind for block in blocks for event in block.events] == ["rung_changed"] * 2
    assert [block.rollup.samples for block in blocks if block.rollup] == [60, 60, 60]
    assert blocks[-1].rollup is None  # Its minute is not over.
    await device.manager.close()


async def test_what_all_consoles_have_is_removed(make_device: Make, path: Path) -> None:
    """Asking after a record acknowledges it; the slowest console holds back what it lacks."""
    device = make_device()
    await device.manager.open()
    await device.live_on(300)
    first = await device.ask()
    assert len(first.blocks) == 5
    await device.ask(sink="sink-of-console-2")
    third = first.blocks[2]
    await device.ask("boot-1", first.blocks[-1].last)
    assert rows(path) == 5
    await device.ask("boot-1", third.last, sink="sink-of-console-2")
    assert rows(path) == 2
    again = await device.drain("boot-1", third.last, sink="sink-of-console-2")
    assert len(samples(again)) == 120
    await device.manager.close()


async def test_a_cursor_inside_the_minute_that_goes_on(make_device: Make) -> None:
    """The open minute comes again, whole and longer; nothing is missed."""
    device = make_device()
    await device.manager.open()
    device.live(20)
    reply = await device.ask()
    (block,) = reply.blocks
    assert (block.first, block.last, reply.more, reply.left) == (1, 20, False, 0)
    assert (await device.ask("boot-1", 20)).blocks == ()
    device.live(5)
    (block,) = (await device.ask("boot-1", 20)).blocks
    assert (block.first, block.last) == (1, 25)
    await device.manager.close()


async def test_replies_are_bounded_by_blocks_and_bytes(
    make_device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply holds what was asked for at most, and less where blocks are large, but always one."""
    device = make_device()
    await device.manager.open()
    await device.live_on(600)
    assert len((await device.ask(limit=3)).blocks) == 3
    monkeypatch.setattr(module, "MAX_REPLY_BLOCK_BYTES", 1)
    reply = await device.ask()
    assert (len(reply.blocks), reply.more, reply.left) == (1, True, 9)
    assert len(samples(await device.drain())) == 600
    await device.manager.close()


@pytest.mark.parametrize(("boot_id", "seq"), [("boot-9", 0), ("boot-1", 1_000_000)])
async def test_a_bad_cursor_is_refused(make_device: Make, boot_id: str, seq: int) -> None:
    """A record that was never written is a typed error that says what to do; nothing is removed."""
    device = make_device()
    await device.manager.open()
    await device.live_on(90)
    with pytest.raises(RequestError) as caught:
        await device.ask(boot_id, seq)
    assert caught.value.code is ErrorCode.BAD_CURSOR
    assert caught.value.hint
    assert len(samples(await device.drain())) == 90
    await device.manager.close()


async def test_another_start_of_the_agent_goes_on_after_the_one_before(make_device: Make) -> None:
    """Records of both starts come in their order; a cursor in the old one stays good."""
    device = make_device()
    await device.manager.open()
    await device.live_on(90)
    (first, _) = (await device.ask()).blocks
    await device.manager.close()
    second = make_device(boot_id="boot-2", at=device.unix_s)
    await second.manager.open()
    await second.live_on(30)
    (only,) = (await second.ask("boot-1", 10**6, sink="sink-that-has-all")).blocks
    assert only.boot_id == "boot-2"
    blocks = await second.drain("boot-1", first.last)
    assert len(samples(blocks)) == 30 + 30
    assert blocks[0].rollup is not None  # An orderly end closes the minute.
    await second.manager.close()


async def test_three_days_fit_the_default(make_device: Make, path: Path) -> None:
    """72 h of a busy device at one sample a second: nothing is thinned or dropped."""
    device = make_device()
    await device.manager.open()
    hours = 6
    await device.live_on(hours * 3600)
    fill = device.manager.sample()
    assert fill.samples == hours * 3600
    assert fill.used_bytes * 72 / hours < 0.9 * fill.budget_bytes
    await device.manager.close()
    print("72 h:", fill.used_bytes * 72 / hours / 2**20, "MiB", size_of(path))


async def test_thinning_comes_before_dropping(make_device: Make, path: Path) -> None:
    """Past the bound: the newest half whole, older minutes thinner, the oldest a gap that says so."""
    device = make_device(buffer_mb=1)
    await device.manager.open()
    await device.live_on(24 * 3600)
    assert size_of(path) <= 1 << 20
    blocks = await device.drain()
    steps = [block.every for block in blocks if block.gap is None]
    gone = blocks[0].gap
    assert gone is not None
    assert (gone.since_unix_s, gone.reason) == (START_UNIX_S, "no room")
    assert set(steps) == {0, 1, 2, 4, 8}
    assert steps[-1] == 1
    order = [step or 99 for step in steps]
    assert order == sorted(order, reverse=True)
    assert blocks[-1].rollup is None  # Its minute is not over.
    counted = 60 + sum(block.rollup.samples for block in blocks if block.rollup)
    assert counted + gone.samples == 24 * 3600
    assert device.manager.sample().dropped_total == gone.samples
    for block in blocks:
        if block.every > 1:
            assert len(block.samples) == -(-60 // block.every)
    await device.manager.close()


async def test_what_is_too_old_goes(make_device: Make) -> None:
    """Age counts the time the agent ran, so that a clock that jumps by years costs nothing."""
    device = make_device(keep_days=0.02)
    await device.manager.open()
    await device.live_on(600)
    device.unix_s += 10 * 365 * 86400.0
    await device.live_on(60)
    blocks = [unpack(each.data) for each in (await device.ask()).blocks]
    assert len(samples(blocks)) == 660
    await device.live_on(1780)
    (gone,) = [unpack(each.data).gap for each in (await device.ask(limit=1)).blocks]
    assert gone is not None
    assert "keep_days" in gone.reason
    assert gone.samples == 600
    await device.manager.close()


async def test_a_full_disk_does_not_grow_it(
    make_device: Make, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """With less than min_free_mb left, room for new minutes comes from the older ones."""
    device = make_device(min_free_mb=256)
    await device.manager.open()
    await device.live_on(3600 * 4)
    usage = room.shutil.disk_usage(path.parent)._replace(free=1 << 20)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    size = size_of(path)
    await device.live_on(3600 * 4)
    assert size_of(path) <= size + 64 * 4096
    assert device.manager.sample().thinned_blocks > 0
    assert device.manager.sample().disk_free_bytes == 1 << 20
    await device.manager.close()


async def test_a_file_at_its_bound_makes_room_by_itself(make_device: Make) -> None:
    """SQLite says that the file is full: older minutes go, the new ones are written, none is forgotten."""
    device = make_device()
    await device.manager.open()
    await device.live_on(3600)
    database = device.manager._backlog._file._database
    assert database is not None
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    await device.live_on(1800)
    assert device.manager.problem == ""
    assert device.manager.sample().thinned_blocks > 0
    blocks = await device.drain()
    counted = sum(block.rollup.samples for block in blocks if block.rollup)
    gone = sum(block.gap.samples for block in blocks if block.gap)
    assert counted + gone == 5400 - 60  # The last minute is not over.
    assert len(blocks[-2].samples) == 60
    await device.manager.close()


async def test_a_disk_that_refuses_costs_only_what_memory_cannot_hold(
    make_device: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, an hour waits in memory, the rest leaves a gap record; then it goes on."""
    device = make_device()
    await device.manager.open()
    await device.live_on(120)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    device.manager._backlog._file._database.execute("PRAGMA busy_timeout=1")  # type: ignore[union-attr]
    await device.live_on(4 * 3600)
    assert "locked" in device.manager.problem
    assert device.events == ["telemetry_not_kept"]
    with pytest.raises(RequestError, match="locked") as caught:
        await device.ask()
    assert caught.value.code is ErrorCode.NOT_READY
    lock.execute("ROLLBACK")
    lock.close()
    await device.manager.commit()
    assert (device.manager.problem, device.events[-1]) == ("", "telemetry_kept")
    blocks = await device.drain()
    gaps = [block.gap for block in blocks if block.gap is not None]
    kept = len(samples(blocks))
    assert [gap.reason for gap in gaps] == ["the disk refused"]
    assert kept + gaps[0].samples == 120 + 4 * 3600
    assert kept >= 120 + 59 * 60
    await device.manager.close()


@pytest.mark.parametrize(
    "content",
    [b"this is no database at all" * 500, b"SQLite format 3\0" * 900],
    ids=["text", "head"],
)
async def test_a_damaged_file_is_moved_aside(make_device: Make, path: Path, content: bytes) -> None:
    """It is kept for whoever wants to look, told as an event, and a new one begins."""
    put(path, content)
    device = make_device()
    await device.manager.open()
    assert device.events == ["outbox_damaged"]
    await device.live_on(60)
    assert len(samples(await device.drain())) == 60
    assert aside(path) == content
    await device.manager.close()


async def test_damage_while_it_runs_is_found_and_moved_aside(make_device: Make, path: Path) -> None:
    """Overwritten under the agent's hands: told, moved aside at the next write, and it goes on."""
    device = make_device()
    await device.manager.open()
    await device.live_on(3600)
    database = device.manager._backlog._file._database
    assert database is not None
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(path)
    database.execute("PRAGMA shrink_memory")
    for _ in range(3):
        await device.live_on(60)
    assert "outbox_damaged" in device.events
    assert device.manager.problem == ""
    assert len(samples(await device.drain())) >= 60
    await device.manager.close()


async def test_a_newer_agents_file_is_left_alone(make_device: Make, path: Path) -> None:
    """Live telemetry goes on, the file stays, and the problem says what to do."""
    put(path, b"")
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    device = make_device()
    await device.manager.open()
    assert "newer agent" in device.manager.sample().problem
    assert device.events == ["telemetry_not_kept"]
    await device.manager.close()


async def test_events_in_a_flood_are_bounded_and_counted(make_device: Make) -> None:
    """The latest of a minute stay; how many are missing is a gap record."""
    device = make_device()
    await device.manager.open()
    for _ in range(1000):
        device.event()
    (block,) = await device.drain()
    assert [event.seq for event in block.events] == list(range(873, 1001))
    assert block.gap is not None
    assert (block.gap.events, block.gap.samples) == (872, 0)
    await device.manager.close()


async def test_consoles_are_bounded(make_device: Make, path: Path) -> None:
    """The one that has not asked for longest is forgotten, and holds nothing back any more."""
    device = make_device()
    await device.manager.open()
    await device.live_on(120)
    for number in range(module.MAX_SINKS + 4):
        device.now_s += 1
        await device.ask("boot-1", 120 if number >= 4 else 0, sink=f"sink-{number:04}")
    assert rows(path) == 1  # The last minute is still open.
    await device.manager.close()


async def test_when_nobody_listens_is_told(make_device: Make) -> None:
    """Silence of consoles is an event, once; so is the first question after it."""
    device = make_device()
    await device.manager.open()
    await device.live_on(300)
    assert device.events == []  # Nobody ever asked: that is no change.
    await device.ask()
    await device.live_on(600, commit_s=10)
    assert device.events == ["nobody_listens"]
    await device.ask()
    assert device.events == ["nobody_listens", "somebody_listens"]
    await device.manager.close()


WRITER = """
import asyncio, pathlib, sys
from edgeconsole.specs import TelemetryConfig
from tests.runtime.offline.device import Device

async def main():
    device = Device(pathlib.Path(sys.argv[1]), TelemetryConfig(min_free_mb=0))
    await device.manager.open()
    while True:
        device.live(7)
        await device.manager.commit()
        assert not device.manager.problem
        print(device._seq, flush=True)

asyncio.run(main())
"""


def write_and_die(path: Path, after: int) -> int:
    """Kill a writer in its work; returns how many samples it had confirmed by then."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(after):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    return confirmed


@pytest.mark.parametrize("after", [1, 30])
async def test_kill_loses_nothing_that_was_committed(
    make_device: Make, path: Path, after: int
) -> None:
    """`kill -9` in the middle of writing leaves a backlog with every confirmed sample in it."""
    confirmed = write_and_die(path, after)
    device = make_device(boot_id="boot-2")
    await device.manager.open()
    found = [sample.seq for sample in samples(await device.drain())]
    assert found[:confirmed] == list(range(1, confirmed + 1))
    assert device.events == []
    await device.manager.close()


async def test_a_block_that_rots_costs_that_block(make_device: Make, path: Path) -> None:
    """A minute whose bytes are wrong is thinned and dropped like others, and never stops the agent."""
    device = make_device(buffer_mb=1)
    await device.manager.open()
    await device.live_on(3600)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE block SET data = x'00' WHERE place = 2")
    database.close()
    await device.live_on(24 * 3600)
    assert device.manager.problem == ""
    assert unpack((await device.ask(sink=SINK)).blocks[0].data).gap is not None
    await device.manager.close()
