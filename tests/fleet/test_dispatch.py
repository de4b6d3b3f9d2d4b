"""Orders on their way to real sockets: delivered, refused, put back, never twice, never lost."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.errors import LinkError
from edgeconsole.fleet import database, dispatch
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.dispatch import PAUSE_S, Courier, Dispatcher
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.order_book import LEASE_S, OrderBook
from edgeconsole.fleet.orders import Intent, Lane, Order, OrderKind, Outcome, Standing
from edgeconsole.protocol.control import Command, Done, Failed, Force, Release

Make = Callable[..., Any]
WAY = ("a", Lane.LADDER)


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    """Return an empty book."""
    database.make(tmp_path / "history.db")
    return OrderBook(tmp_path / "history.db")


def order(url: str, kind: OrderKind = OrderKind.FAILSAFE_ON, mark: str = "c") -> Order:
    """Return an order given now."""
    return Intent(mark * 32, kind, "kim@desk", "", "smoke").order("a", url, time.time())


def outcomes(book: OrderBook) -> list[str]:
    """Return the outcomes in the audit, oldest first."""
    return [row.outcome.value for row in reversed(book.audit())]


def carried(small_agent: Any) -> list[Command]:
    """Let the agent note the orders that it gets."""
    heard: list[Command] = []

    def answer(command: Command) -> list[Any] | None:
        if not isinstance(command, Force | Release):
            return None
        heard.append(command)
        return [Done(command.id, f"done {len(heard)}")]

    small_agent.answer = answer
    return heard


async def test_orders_are_delivered_in_order(book: OrderBook, small_agent: Any) -> None:
    """Each goes out once, oldest first, with the id it was given, and the device's words are kept."""
    heard = carried(small_agent)
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        url = small_agent.url
        placed = [order(url), order(url, OrderKind.RELEASE, "d")]
        book.place(placed, time.time())
        await Courier(book).deliver("a", link)
    assert [type(each) for each in heard] == [Force, Release]
    assert [each.command_id for each in heard] == ["c" * 32, "d" * 32]
    assert book.standings("d" * 32) == [Standing(placed[1], Outcome.ACKNOWLEDGED, "done 2")]
    assert outcomes(book) == ["queued", "queued", *["sent", "acknowledged"] * 2]


@pytest.mark.parametrize("code", ["CONFLICT", "MALFORMED", "CODE_OF_THE_FUTURE"])
async def test_a_refusal_is_final(book: OrderBook, small_agent: Any, code: str) -> None:
    """What a device refuses is not sent again; its words are in the audit."""
    small_agent.answer = lambda command: [Failed(command.id, code, "no static answer", "declare")]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        book.place([order(small_agent.url)], time.time())
        await Courier(book).deliver("a", link)
    assert book.waiting() == []
    assert book.audit(1)[0].detail == "no static answer (declare)"


async def test_a_device_that_goes_down_gets_it_later(book: OrderBook, small_agent: Any) -> None:
    """A refusal that passes by itself leaves the order waiting."""
    small_agent.answer = lambda command: [Failed(command.id, "SHUTTING_DOWN", "going down")]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        book.place([order(small_agent.url)], time.time())
        with pytest.raises(LinkError, match="going down"):
            await Courier(book).deliver("a", link)
    assert [each.outcome for each in book.waiting()] == [Outcome.QUEUED]


async def test_an_answer_of_another_kind_is_no_success(book: OrderBook, small_agent: Any) -> None:
    """Only `done` means done."""
    small_agent.answer = lambda command: [small_agent.hello(command.id)]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        book.place([order(small_agent.url)], time.time())
        await Courier(book).deliver("a", link)
    assert book.audit(1)[0].outcome is Outcome.REFUSED


class Told:
    """Hears what waits."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Standing, ...]] = []

    def __call__(self, device_id: str, waiting: tuple[Standing, ...]) -> None:
        """Take it."""
        assert device_id == "a"
        self.waiting.append(waiting)


@asynccontextmanager
async def dispatching(
    book: OrderBook, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[tuple[Dispatcher, OpenLinks, Told]]:
    """Run a dispatcher."""
    links, told = OpenLinks(), Told()
    dispatcher = Dispatcher(Courier(book), links, told, clock)
    task = asyncio.create_task(dispatcher.run())
    yield dispatcher, links, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_order_waits_for_contact(
    book: OrderBook, small_agent: Any, eventually: Make
) -> None:
    """While nobody answers it is shown as waiting; the moment a link is live it goes out."""
    heard = carried(small_agent)
    async with small_agent, dispatching(book) as (dispatcher, links, told):
        book.place([order(small_agent.url)], time.time())
        dispatcher.kick()
        await eventually(lambda: bool(told.waiting))
        assert told.waiting[-1][0].outcome is Outcome.QUEUED
        assert heard == []
        async with ControlLink(small_agent.url, small_agent.token) as link:
            with links.through("a", link):
                await eventually(lambda: told.waiting[-1] == ())
        assert links.get("a") is None
    assert len(heard) == 1
    assert outcomes(book) == ["queued", "sent", "acknowledged"]


async def test_a_broken_delivery_pauses_until_the_next_contact(
    book: OrderBook, small_agent: Any, eventually: Make
) -> None:
    """A device that cannot take orders is not asked every second; a new link ends the pause."""
    small_agent.answer = lambda command: [Failed(command.id, "SHUTTING_DOWN", "going down")]
    now_s = 100.0
    async with small_agent, dispatching(book, lambda: now_s) as (dispatcher, links, _):
        book.place([order(small_agent.url)], time.time())
        async with ControlLink(small_agent.url, small_agent.token) as link:
            with links.through("a", link):
                await eventually(lambda: outcomes(book) == ["queued", "sent", "queued"])
                await eventually(lambda: not dispatcher._busy)
                assert not dispatcher._may_go(WAY)
                carried(small_agent)
                now_s += PAUSE_S
                dispatcher.kick()
                await eventually(lambda: outcomes(book)[-1] == "acknowledged")
                await eventually(lambda: not dispatcher._busy)
            now_s += 1
            dispatcher._not_before[WAY] = now_s + PAUSE_S
            with links.through("a", link):
                assert dispatcher._may_go(WAY)


async def test_what_is_not_ours_to_send_is_not_asked_for_all_the_time(
    book: OrderBook, small_agent: Any, eventually: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that another has claimed, or for another address, costs one look a second."""
    monkeypatch.setattr(dispatch, "LOOK_S", 1000.0)
    claims: list[str] = []
    claim = OrderBook.claim

    def counted(self: OrderBook, device_id: str, *rest: Any) -> Order | None:
        claims.append(device_id)
        return claim(self, device_id, *rest)

    monkeypatch.setattr(OrderBook, "claim", counted)
    heard = carried(small_agent)
    async with small_agent, dispatching(book) as (dispatcher, links, _):
        book.place([order("ws://elsewhere"), order(small_agent.url, mark="d")], time.time())
        claim(book, "a", small_agent.url, "another", time.time())
        async with ControlLink(small_agent.url, small_agent.token) as link:
            with links.through("a", link):
                for looks in range(1, 11):
                    await eventually(lambda looks=looks: len(claims) >= looks)
                    dispatcher.kick()
                # As much work again as a hundred looks: time enough to go round in circles.
                for _ in range(200):
                    await asyncio.to_thread(book.waiting)
    # A look for each kick, and one more where a kick came while it looked.
    assert len(claims) <= 22
    assert heard == []


async def test_an_order_that_cannot_be_read_is_a_problem(book: OrderBook) -> None:
    """A kind of order that this program does not know is said, and nothing else breaks."""
    book.place([order("ws://x")], time.time())
    with database.transaction(book.path) as other:
        other.execute("UPDATE device_order SET kind = 'dance on'")
    dispatcher = Dispatcher(Courier(book), OpenLinks(), Told())
    assert await dispatcher.look() == []
    assert "cannot be read" in dispatcher.problem


async def test_a_book_that_refuses_is_a_problem_that_passes(
    book: OrderBook, small_agent: Any, eventually: Make
) -> None:
    """A damaged file is said and ends nothing; when it is whole again orders go out."""
    heard = carried(small_agent)
    content = book.path.read_bytes()
    async with small_agent, dispatching(book) as (dispatcher, links, _):
        async with ControlLink(small_agent.url, small_agent.token) as link:
            with links.through("a", link):
                for name in ("history.db-wal", "history.db-shm"):
                    (book.path.parent / name).unlink(missing_ok=True)
                book.path.write_bytes(b"no database" * 1000)
                dispatcher.kick()
                await eventually(lambda: "history.db" in dispatcher.problem)
                book.path.write_bytes(content)
                book.place([order(small_agent.url)], time.time())
                dispatcher.kick()
                await eventually(lambda: len(heard) == 1)
        assert dispatcher.problem == ""


KILLED = """
import asyncio, pathlib, sys
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.dispatch import Courier
from edgeconsole.fleet.order_book import OrderBook

async def main():
    async with ControlLink(sys.argv[2], sys.argv[3]) as link:
        await Courier(OrderBook(pathlib.Path(sys.argv[1]))).deliver("a", link)

asyncio.run(main())
"""


async def test_what_a_killed_console_had_sent_is_sent_again(
    book: OrderBook, small_agent: Any, eventually: Make
) -> None:
    """`kill -9` between sending and the reply: after the claim's time another sends the same id."""
    heard: list[Command] = []

    def answer(command: Command) -> list[Any] | None:
        heard.append(command)
        return []

    small_agent.answer = answer
    async with small_agent:
        placed = order(small_agent.url)
        book.place([placed], time.time())
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", KILLED],
            *[str(book.path), small_agent.url, small_agent.token],
        )
        await eventually(lambda: len(heard) == 1)
        process.kill()
        await process.wait()
        assert [each.outcome for each in book.waiting()] == [Outcome.SENT]
        again = carried(small_agent)
        async with ControlLink(small_agent.url, small_agent.token) as link:
            await Courier(book).deliver("a", link)
            assert again == []
            await Courier(book, lambda: time.time() + LEASE_S).deliver("a", link)
    assert [each.command_id for each in again] == [heard[0].command_id]
    assert outcomes(book) == ["queued", "sent", "sent", "acknowledged"]
