"""Fetching what a device kept: from a real backlog, over a real connection, into a real history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.errors import BlockFormatError, ErrorCode, ProtocolError, RequestError
from edgeconsole.fleet import backfill as module
from edgeconsole.fleet import database, late, past
from edgeconsole.fleet.backfill import Backfiller
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.past import Resolution
from edgeconsole.protocol.control import (
    Backfill,
    BackfillReply,
    Command,
    Failed,
    StoredBlock,
)
from edgeconsole.runtime.offline.backlog import Backlog
from edgeconsole.runtime.offline.minute import Minute
from edgeconsole.runtime.offline.room import Limits

Make = Callable[..., Any]
START = 1_750_000_020
SINK = "sink-of-the-test"


class Kept:
    """A device's backlog, and what was asked of it."""

    def __init__(self, path: Path, make_sample: Make, boot_id: str = "boot-1") -> None:
        self.backlog = Backlog(path, Limits(16 << 20, 30 * 86400.0, 0))
        self.backlog.open(boot_id)
        self.asked: list[Backfill] = []
        self._make_sample = make_sample
        self.seconds = 0

    def live(self, minutes: int) -> None:
        """Keep whole minutes."""
        from edgeconsole.protocol.figures import figures_of

        for _ in range(minutes):
            minute = Minute(self.seconds + 1, START + self.seconds, None, closed=True)
            for _ in range(60):
                self.seconds += 1
                at = START + self.seconds - 1
                sample = self._make_sample(self.seconds, time_unix_s=float(at))
                minute.add_sample(self.seconds, figures_of(sample))
            self.backlog.write([minute])

    def answer(self, command: Command) -> list[Any] | None:
        """Answer as an agent does."""
        if not isinstance(command, Backfill):
            return None
        self.asked.append(command)
        try:
            return [self.backlog.read(command, float(START))]
        except RequestError as error:
            return [Failed(command.id, error.code.value, error.message, error.hint)]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a history with its tables."""
    file = tmp_path / "history.db"
    database.make(file)
    return file


@pytest.fixture
async def kept(tmp_path: Path, make_sample: Make, small_agent: Any) -> AsyncIterator[Kept]:
    """Return the backlog behind the small agent, with two hours in it."""
    made = Kept(tmp_path / "outbox.db", make_sample)
    made.live(120)
    small_agent.answer = made.answer
    async with small_agent:
        yield made
    made.backlog.close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)


def fetcher(history: Path, links: OpenLinks | None = None) -> Backfiller:
    """Return a backfiller that tells nobody."""

    async def told(_: str) -> None:
        return

    return Backfiller(history, links or OpenLinks(), told, rest=lambda _: asyncio.sleep(0))


def stored(history: Path) -> list[Any]:
    """Return the numbers of the samples in a history."""
    columns, rows = past.table(history, "a", (0.0, 1e11), Resolution.RAW)
    return [row[columns.index("seq")] for row in rows]


async def test_all_is_fetched_in_pages_and_acknowledged(
    history: Path, kept: Kept, small_agent: Any
) -> None:
    """Each question is after the last page that was written; the next one removes it on the device."""
    async with ControlLink(small_agent.url, small_agent.token) as link:
        assert await fetcher(history).fetch(SINK, "a", link) == 7200
        assert stored(history) == list(range(1, 7201))
        assert [each.seq for each in kept.asked] == [0, 1920, 3840, 5760]
        kept.live(1)
        assert await fetcher(history).fetch(SINK, "a", link) == 60
    assert kept.asked[-1].seq == 7200
    assert kept.backlog.fill().samples == 60


async def test_it_rests_between_pieces_and_not_after_the_last(
    history: Path, kept: Kept, small_agent: Any
) -> None:
    """Half an hour is not written at a stretch: there is a rest after each piece but the last."""
    events: list[str] = []

    class Watched(Backfiller):
        def _write(self, device_id: str, blocks: Any) -> int:
            events.append("piece")
            return super()._write(device_id, blocks)

    async def told(_: str) -> None:
        return

    async def rest(rest_s: float) -> None:
        events.append("rest")
        assert rest_s > 0
        await asyncio.sleep(0)

    async with ControlLink(small_agent.url, small_agent.token) as link:
        visitor = Watched(history, OpenLinks(), told, rest=rest)
        assert await visitor.fetch(SINK, "a", link) == 7200
    pieces = events.count("piece")
    assert pieces > 4
    assert events == ["piece", "rest"] * (pieces - 1) + ["piece"]


async def test_a_console_killed_on_the_way_goes_on(
    history: Path, kept: Kept, small_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second page the history refuses: what it had is not asked for again, nothing is lost."""
    write, written = late.write, []

    def once(path: Path, device_id: str, blocks: Any) -> int:
        if len(written) > 40:
            raise RuntimeError("killed")
        new = write(path, device_id, blocks)
        written.extend(blocks)
        return new

    monkeypatch.setattr(late, "write", once)
    async with ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(RuntimeError):
            await fetcher(history).fetch(SINK, "a", link)
        monkeypatch.setattr(late, "write", write)
        here, asked = 60 * len(written), len(kept.asked)
        assert await fetcher(history).fetch(SINK, "a", link) == 7200 - here
    assert kept.asked[asked].seq == here > 1920
    assert stored(history) == list(range(1, 7201))


async def test_a_cursor_nobody_knows_begins_anew(
    history: Path, kept: Kept, small_agent: Any
) -> None:
    """The device's backlog is another one: everything it has is fetched, and nothing is there twice."""
    late.write(history, "a", [late.LateBlock("boot-of-old", 99, None)])
    async with ControlLink(small_agent.url, small_agent.token) as link:
        assert await fetcher(history).fetch(SINK, "a", link) == 7200
    assert [(each.boot_id, each.seq) for each in kept.asked[:2]] == [("boot-of-old", 99), ("", 0)]


async def test_an_agent_without_a_backlog_is_asked_once(
    history: Path, small_agent: Any, eventually: Callable[..., Awaitable[None]]
) -> None:
    """It refuses the command as malformed, and is left alone for as long as the link lives."""
    asked: list[Command] = []

    def answer(command: Command) -> list[Any] | None:
        if not isinstance(command, Backfill):
            return None
        asked.append(command)
        return [Failed(command.id, ErrorCode.MALFORMED.value, "not a valid command")]

    small_agent.answer = answer
    links = OpenLinks()
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(ProtocolError, match="keeps no telemetry"):
            await fetcher(history).fetch(SINK, "a", link)
        backfiller = fetcher(history, links)
        with links.through("a", link):
            runner = asyncio.create_task(backfiller.run(["a", "b"]))
            await eventually(lambda: len(asked) == 2)
            await eventually(lambda: not backfiller._busy)
            for _ in range(50):
                await asyncio.sleep(0.001)
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
    assert len(asked) == 2
    assert backfiller.problem == ""


async def test_a_format_to_come_is_a_problem_and_is_not_acknowledged(
    history: Path, small_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer agent keeps its telemetry until the console is updated too."""

    def newer(_: bytes) -> None:
        raise BlockFormatError("format 9")

    def answer(command: Command) -> list[Any] | None:
        if not isinstance(command, Backfill):
            return None
        return [BackfillReply(command.id, (StoredBlock("boot-1", 1, 60, b"x"),), more=False)]

    small_agent.answer = answer
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        assert await fetcher(history).fetch(SINK, "a", link) == 0  # Rubbish is passed over.
        late.forget_cursor(history, "a")
        monkeypatch.setattr(module, "unpack", newer)
        with pytest.raises(BlockFormatError):
            await fetcher(history).fetch(SINK, "a", link)
    assert late.cursor(history, "a") == ("", 0)


async def test_it_runs_by_itself_and_asks_again(
    history: Path,
    kept: Kept,
    small_agent: Any,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Awaitable[None]],
) -> None:
    """A live link is asked at once and then again and again; who draws charts is told of what is new."""
    monkeypatch.setattr(module, "EVERY_S", 0.005)
    told: list[str] = []

    async def filled(device_id: str) -> None:
        told.append(device_id)

    links = OpenLinks()
    backfiller = Backfiller(history, links, filled)
    runner = asyncio.create_task(backfiller.run(["a"]))
    async with ControlLink(small_agent.url, small_agent.token) as link:
        with links.through("a", link):
            await eventually(lambda: told == ["a"])
            await eventually(lambda: kept.backlog.fill().samples == 60)  # The latest minute stays.
            kept.live(1)
            await eventually(lambda: told == ["a", "a"])
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)
    assert stored(history) == list(range(1, 7261))
