"""The history in real SQLite: nothing that was flushed is lost, nothing stops the console."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from edgeconsole.errors import StoreError
from edgeconsole.fleet import history as module
from edgeconsole.fleet import upkeep
from edgeconsole.fleet.history import History
from edgeconsole.fleet.schema import SCHEMA_VERSION
from edgeconsole.protocol.failsafe import Condition, Transition
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, ModelSample, Quality, Reading
from edgeconsole.protocol.thermal import ThermalState, ThermalTransition
from edgeconsole.specs import RetentionConfig

MakeSample = Callable[..., DeviceSample]
MakeEvent = Callable[..., DeviceEvent]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database is to be."""
    return tmp_path / "data" / "history.db"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[History]:
    """Return an open history."""
    opened = History(path)
    await opened.open()
    yield opened
    await opened.close()


def count(path: Path, table: str = "sample") -> int:
    """Return how many rows another program sees."""
    database = sqlite3.connect(path)
    try:
        found: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        database.close()
    return found


def put(path: Path, content: bytes) -> None:
    """Write a file in the database's place."""
    path.parent.mkdir()
    path.write_bytes(content)


def get(path: Path) -> bytes:
    """Read the file in the database's place."""
    return path.read_bytes()


async def test_rows_are_written_in_batches(
    history: History, path: Path, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """Adding only queues; one flush writes all that waits, in one transaction."""
    for seq in range(500):
        history.add_sample("a", make_sample(seq))
        history.add_event("a", make_event(seq))
    assert (count(path), count(path, "event")) == (0, 0)
    await history.flush()
    assert (count(path), count(path, "event")) == (500, 500)
    assert (await history.rows(), history.problem, history.dropped) == (500, "", 0)


async def test_flushing_from_two_places_writes_all_once(
    history: History, path: Path, make_sample: MakeSample
) -> None:
    """Whoever flushes while another does, waits; what comes meanwhile is not lost."""

    async def add_and_flush(start: int) -> None:
        for seq in range(start, start + 100):
            history.add_sample("a", make_sample(seq))
            await history.flush()

    await asyncio.gather(*(add_and_flush(start) for start in (0, 1000, 2000)))
    assert count(path) == 300


async def test_flushing_nothing_is_nothing(history: History) -> None:
    """An idle console does not touch the disk."""
    database = history._open_database()
    before = database.total_changes
    await history.flush()
    assert (database.total_changes, database.in_transaction) == (before, False)


async def test_closing_writes_what_waits_and_reopening_finds_it(
    path: Path, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """An orderly end loses nothing; a console started later reads it back."""
    for seq in (1, 2):
        history = History(path)
        await history.open()
        history.add_sample("a", make_sample(seq))
        history.add_event("a", make_event(seq))
        await history.close()
        assert not history.is_open
        assert count(path) == seq
    await history.open()
    assert [event.seq for event in await history.recent_events("a", 9)] == [1, 2]
    await history.close()


async def test_closing_twice_is_harmless(path: Path) -> None:
    """Closing what is not open does nothing."""
    history = History(path)
    await history.close()
    await history.open()
    await history.close()
    await history.close()
    assert not history.is_open


async def test_using_a_closed_history_is_an_error(path: Path, make_sample: MakeSample) -> None:
    """A history that is not open says so."""
    history = History(path)
    history.add_sample("a", make_sample())
    for use in (history.flush, history.rows):
        with pytest.raises(StoreError, match="is not open"):
            await use()


async def test_duplicates_are_ignored(
    history: History, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """What an agent sends again after a reconnect is kept once; the first word stays."""
    for message in ("first", "again"):
        history.add_sample("a", make_sample(1))
        history.add_event("a", make_event(1, message=message))
        await history.flush()
    history.add_event("a", make_event(1, boot_id="boot-2"))
    history.add_event("b", make_event(1))
    await history.flush()
    assert await history.rows() == 1
    events = await history.recent_events("a", 9)
    assert sorted((event.boot_id, event.message) for event in events) == [
        ("boot-1", "first"),
        ("boot-2", "event 1"),
    ]


async def test_a_newer_database_is_refused_and_left_alone(
    path: Path, make_sample: MakeSample
) -> None:
    """Tables of a version to come are not touched; the remedy is named."""
    history = History(path)
    await history.open()
    history.add_sample("a", make_sample())
    await history.close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(StoreError, match="newer EdgeConsole") as caught:
        await history.open()
    assert "update EdgeConsole" in caught.value.hint
    assert not history.is_open
    assert count(path) == 1


@pytest.mark.parametrize(
    "content", [b"this is no database at all" * 50, b"SQLite format 3\0" * 90], ids=["text", "head"]
)
async def test_a_corrupt_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    """What is no database is not overwritten; the remedy is named."""
    put(path, content)
    history = History(path)
    with pytest.raises(StoreError, match="is not a usable history") as caught:
        await history.open()
    assert "move it away" in caught.value.hint
    assert get(path) == content
    assert not history.is_open


async def test_a_database_with_other_tables_is_refused(path: Path) -> None:
    """A table of ours with other columns is noticed when it is opened, not hours later."""
    path.parent.mkdir()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE event (other TEXT)")
    database.close()
    with pytest.raises(StoreError, match="is not a usable history"):
        await History(path).open()


@pytest.mark.parametrize("place", ["folder", "below a file"])
async def test_a_place_that_cannot_hold_it_is_refused(tmp_path: Path, place: str) -> None:
    """A folder in its place, or a file above it, is an error that names the path."""
    (tmp_path / "file").write_text("")
    path = tmp_path if place == "folder" else tmp_path / "file" / "history.db"
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        await History(path).open()
    assert str(path) in caught.value.message
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "_connection_worker_thread" in name]


async def test_a_full_disk_keeps_rows_waiting(
    history: History, path: Path, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """While SQLite refuses, rows wait and `problem` says why; later they are all written."""
    database = history._open_database()
    await database.execute("PRAGMA max_page_count=20")
    for seq in range(2000):
        history.add_sample("a", make_sample(seq))
    history.add_event("a", make_event(1))
    for _ in range(2):
        await history.flush()
        assert history.problem == f"{path}: database or disk is full"
        assert (count(path), count(path, "event")) == (0, 0)
    await database.execute("PRAGMA max_page_count=1073741823")
    await history.flush()
    assert (history.problem, count(path), count(path, "event")) == ("", 2000, 1)
    assert history.dropped == 0


async def test_another_writer_is_waited_for_and_then_reported(
    history: History, path: Path, make_sample: MakeSample
) -> None:
    """A lock held by another program is a problem that passes, not an end."""
    await history._open_database().execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    history.add_sample("a", make_sample())
    await history.flush()
    assert "locked" in history.problem
    assert not history._open_database().in_transaction  # Nothing is left half open.
    other.execute("ROLLBACK")
    other.close()
    await history.flush()
    assert (history.problem, count(path)) == ("", 1)


async def test_what_waits_is_bounded_and_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """A disk that refuses for days costs the oldest rows, which are counted, and no more memory."""
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    history = History(path)
    for seq in range(13):
        history.add_sample("a", make_sample(seq))
        history.add_event("a", make_event(seq))
    assert history.dropped == 6
    await history.open()
    await history.close()
    assert (count(path), count(path, "event")) == (10, 10)


WRITER = """
import asyncio, pathlib, sys
import msgspec
from edgeconsole.fleet.history import History
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample

async def main():
    history = History(pathlib.Path(sys.argv[1]))
    await history.open()
    sample = msgspec.json.decode(sys.argv[2], type=DeviceSample)
    event = msgspec.json.decode(sys.argv[3], type=DeviceEvent)
    for seq in range(1, 1_000_000):
        history.add_sample("a", msgspec.structs.replace(sample, seq=seq, time_unix_s=float(seq)))
        history.add_event("a", msgspec.structs.replace(event, seq=seq))
        await history.flush()
        assert not history.problem
        print(seq, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 40])
def test_kill_loses_nothing_that_was_flushed(
    path: Path, make_sample: MakeSample, make_event: MakeEvent, after: int
) -> None:
    """`kill -9` in the middle of writing leaves a database with every confirmed row in it."""
    sample, event = (msgspec.json.encode(each).decode() for each in (make_sample(), make_event()))
    command = [sys.executable, "-c", WRITER, str(path), sample, event]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(after):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert confirmed >= after

    async def look() -> tuple[int, int]:
        history = History(path)
        await history.open()
        rows, events = await history.rows(), await history.recent_events("a", 1_000_000)
        await history.close()
        return rows, len(events)

    rows, events = asyncio.run(look())
    assert rows >= confirmed
    assert events == rows


async def test_recent_points_are_on_the_consoles_clock(
    history: History, make_sample: MakeSample, make_model: Callable[..., ModelSample]
) -> None:
    """Points of the window come oldest first, as far in the past as they were heard."""
    figures = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "rate_per_s": 4.0, "rss_bytes": 7}
    for at in (100.0, 160.0, 130.0, 190.0, 201.0):
        power_w = Reading(5.5, "W", "rapl", Quality.DERIVED)
        history.add_sample(
            "a", make_sample(time_unix_s=at, models=(make_model(**figures),), power_w=power_w)
        )
    history.add_sample("b", make_sample(time_unix_s=150.0))
    await history.flush()
    points = await history.recent_points("a", 70.0, now_unix_s=200.0, now_s=1000.0)
    assert [point.at for point in points] == [930.0, 960.0, 990.0]
    point = points[0]
    assert (point.p50_ms, point.p95_ms, point.p99_ms, point.rate_per_s) == (1.0, 2.0, 3.0, 4.0)
    assert (point.temp_c, point.power_w) == (50.0, 5.5)
    assert (point.cpu_percent, point.memory_percent) == (10.0, 20.0)
    assert (point.key, point.rss_bytes) == (make_model().key, 7)


async def test_recent_points_keep_what_is_unknown(
    history: History, make_sample: MakeSample
) -> None:
    """What a device did not say comes back as unknown, not as zero."""
    unknown = Reading(unit="°C", reason="no sensor")
    history.add_sample(
        "a", make_sample(time_unix_s=100.0, models=(), temp_c=unknown, cpu_percent=None)
    )
    await history.flush()
    (point,) = await history.recent_points("a", 10.0, now_unix_s=100.0, now_s=0.0)
    assert (point.p99_ms, point.temp_c, point.cpu_percent) == (None, None, None)
    assert (point.key, point.rss_bytes) == ("", None)


async def test_recent_events_are_the_latest_oldest_first(
    history: History, make_event: MakeEvent
) -> None:
    """The limit cuts the oldest; every field comes back as it was."""
    events = [make_event(seq, message=f"é\n{seq}") for seq in range(5)]
    for event in events:
        history.add_event("a", event)
    history.add_event("b", make_event(9))
    await history.flush()
    assert await history.recent_events("a", 3) == events[2:]


def moved(seq: int, model: str = "digits") -> Transition:
    """Return a transition with its conditions."""
    met = Condition("breaker_error_share", met=True, measured=0.6, threshold=0.5, needed_s=2.0)
    return Transition(
        model, Rung.PRIMARY, Rung.FALLBACK, "breaker_open", 1_750_000_000.0 + seq, (met,)
    )


async def test_transitions_are_kept_with_their_conditions(
    history: History, make_event: MakeEvent
) -> None:
    """What came as an event is found again by device and model, newest first, and in its event."""
    history.add_event("a", make_event(1))
    for seq, model in ((2, "digits"), (3, "cats"), (4, "digits")):
        history.add_event("a", make_event(seq, transition=moved(seq, model)))
    history.add_event("b", make_event(5, transition=moved(5)))
    await history.flush()
    assert await history.transitions("a", "digits", 9) == [moved(4), moved(2)]
    assert await history.transitions("a", "", 2) == [moved(4), moved(3, "cats")]
    assert await history.transitions("c", "", 9) == []
    events = await history.recent_events("a", 9)
    assert [each.transition for each in events] == [None, moved(2), moved(3, "cats"), moved(4)]


def warmed(seq: int, state: ThermalState = ThermalState.HOT) -> ThermalTransition:
    """Return a thermal transition that somebody forced, with its conditions."""
    met = Condition("operator", met=True, detail="hot by ana: the fan is out")
    return ThermalTransition(
        before=ThermalState.NOMINAL,
        after=state,
        step_before=0,
        step_after=3,
        cause="operator",
        time_unix_s=1_750_000_000.0 + seq,
        reason="ana: the fan is out",
        conditions=(met,),
        simulated=True,
        actor="ana",
    )


async def test_thermal_transitions_are_kept_likewise(
    history: History, make_event: MakeEvent
) -> None:
    """Each is found again by device, newest first and whole, and in its event; the ladder's are apart."""
    history.add_event("a", make_event(1, transition=moved(1)))
    for seq in (2, 3):
        history.add_event("a", make_event(seq, thermal=warmed(seq)))
    history.add_event("b", make_event(4, thermal=warmed(4)))
    await history.flush()
    assert await history.thermal_transitions("a", 9) == [warmed(3), warmed(2)]
    assert await history.thermal_transitions("a", 1) == [warmed(3)]
    assert await history.thermal_transitions("c", 9) == []
    assert await history.transitions("a", "", 9) == [moved(1)]
    events = await history.recent_events("a", 9)
    assert [each.thermal for each in events] == [None, warmed(2), warmed(3)]
    assert [each.transition for each in events] == [moved(1), None, None]


async def test_a_transition_of_the_future_is_passed_over(
    history: History, path: Path, make_event: MakeEvent
) -> None:
    """A rung that this program does not know costs that transition and nothing else."""
    for seq in (1, 2):
        history.add_event("a", make_event(seq, transition=moved(seq)))
        history.add_event("a", make_event(seq + 2, thermal=warmed(seq)))
    await history.flush()
    database = sqlite3.connect(path)
    with database:
        database.execute(
            "UPDATE transition SET detail = replace(detail, 'fallback', 'cellar') WHERE seq = 1"
        )
        database.execute(
            "UPDATE thermal_transition SET detail = replace(detail, 'hot', 'molten') WHERE seq = 3"
        )
    database.close()
    assert await history.thermal_transitions("a", 9) == [warmed(2)]
    assert await history.transitions("a", "", 9) == [moved(2)]
    events = await history.recent_events("a", 9)
    assert [each.transition for each in events] == [None, moved(2), None, None]
    assert [each.thermal for each in events] == [None, None, None, warmed(2)]


async def test_a_history_from_before_the_ladder_is_taken_over(
    path: Path, make_event: MakeEvent
) -> None:
    """Tables of version 1 keep their rows and get the new tables beside them."""
    history = History(path)
    await history.open()
    history.add_event("a", make_event(1))
    await history.close()
    old = sqlite3.connect(path)
    for table in ("transition", "device_order", "audit"):
        old.execute(f"DROP TABLE {table}")
    old.execute("PRAGMA user_version=1")
    old.close()
    await history.open()
    history.add_event("a", make_event(2, transition=moved(2)))
    await history.flush()
    events = await history.recent_events("a", 9)
    assert [each.transition for each in events] == [None, moved(2)]
    await history.close()


async def test_old_rows_are_pruned(
    history: History, path: Path, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """What is older than its limit goes, samples before events; the rest stays."""
    now_s = time.time()
    keep = RetentionConfig(raw_hours=2.0, event_days=30.0)
    raw_s, event_s = 2 * 3600.0, 30 * 86400.0
    for seq, age_s in ((1, event_s + 60), (2, event_s - 60), (3, raw_s + 60), (4, raw_s - 60)):
        history.add_sample("a", make_sample(seq, time_unix_s=now_s - age_s))
        at = {"time_unix_s": now_s - age_s}
        transition = msgspec.structs.replace(moved(seq), **at)
        thermal = msgspec.structs.replace(warmed(seq), **at)
        event = make_event(seq, **at, transition=transition, thermal=thermal)
        history.add_event("a", event)
    await history.flush()
    assert not upkeep.prune(path, keep, now_s)
    assert await history.rows() == 1
    assert [event.seq for event in await history.recent_events("a", 9)] == [2, 3, 4]
    assert len(await history.transitions("a", "", 9)) == 3
    assert len(await history.thermal_transitions("a", 9)) == 3


async def test_upkeep_that_fails_is_reported(
    history: History,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Awaitable[None]],
) -> None:
    """A failure while pruning is shown as a problem and ends nothing."""
    monkeypatch.setattr(module, "MINUTES_S", 0.001)
    database = sqlite3.connect(path)
    database.execute("DROP TABLE event")
    database.close()
    keeper = asyncio.create_task(history.keep_up())
    await eventually(lambda: "no such table" in history.upkeep_problem)
    assert not keeper.done()
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)


async def test_run_writes_by_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, make_sample: MakeSample
) -> None:
    """The writer keeps the database current until it is cancelled."""
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    flushed: asyncio.Queue[int] = asyncio.Queue()

    class Watched(History):
        """Tells when it has flushed."""

        async def flush(self) -> None:
            """Flush, and say how many rows there are."""
            await super().flush()
            flushed.put_nowait(await self.rows())

    history = Watched(path)
    await history.open()
    history.add_sample("a", make_sample(1))
    writer = asyncio.create_task(history.run())
    assert await flushed.get() == 1
    history.add_sample("a", make_sample(2))
    while await flushed.get() == 1:
        pass
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    await history.close()
    assert count(path) == 2


def test_large_fleets_are_written_less_often() -> None:
    """Up to 200 devices every second; more, less often; never less than every five seconds."""
    assert [module.flush_s(devices) for devices in (0, 1, 200, 600, 1000, 50_000)] == [
        *(1.0, 1.0, 1.0),
        *(3.0, 5.0, 5.0),
    ]


async def test_rows_are_written_a_device_at_a_stretch(
    history: History, path: Path, make_sample: MakeSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples that came in turns are written device by device, each in its order; none is missing."""
    written: list[str] = []
    database = history._open_database()
    executemany = database.executemany

    async def watched(sql: str, each: list[tuple[str, ...]]) -> object:
        written.extend(row[0] for row in each)
        return await executemany(sql, each)

    monkeypatch.setattr(database, "executemany", watched)
    for seq in range(1, 6):
        for device in ("b", "a", "c"):
            history.add_sample(device, make_sample(seq))
    await history.flush()
    assert written == [*"aaaaabbbbbccccc"]
    assert count(path) == 15
    await history.flush()
    assert len(written) == 15
