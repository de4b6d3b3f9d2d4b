"""The queue of orders and the audit in real SQLite: durable, claimed once, never rewritten."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeconsole.errors import StoreError
from edgeconsole.fleet import database
from edgeconsole.fleet.order_book import LEASE_S, OrderBook
from edgeconsole.fleet.orders import Intent, Order, OrderKind, Outcome, Standing

NOW = 1_800_000_000.0
URL = "ws://127.0.0.1:1"


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    """Return an empty book."""
    path = tmp_path / "data" / "history.db"
    database.make(path)
    return OrderBook(path)


def order(device: str = "a", *, at: float = NOW, command_id: str = "c" * 32) -> Order:
    """Return an order to force the failsafe for half an hour."""
    intent = Intent(command_id, OrderKind.FAILSAFE_ON, "kim@desk", "digits", "smoke")
    return intent.order(device, URL, at)


def trail(book: OrderBook) -> list[tuple[str, str]]:
    """Return the audit, oldest first, as (device, outcome)."""
    return [(row.device_id, row.outcome.value) for row in reversed(book.audit())]


def test_an_order_goes_its_way_and_each_step_is_a_row(book: OrderBook) -> None:
    """Queued, sent, acknowledged: each is a row of its own, with who, what, why and until when."""
    placed = order()
    book.place([placed], NOW)
    assert book.waiting() == [Standing(placed, Outcome.QUEUED)]
    assert book.claim("a", URL, "me", NOW + 1) == placed
    assert book.settle(Standing(placed, Outcome.ACKNOWLEDGED, "forced"), "me", NOW + 2)
    assert book.waiting() == []
    assert book.standings(placed.command_id) == [Standing(placed, Outcome.ACKNOWLEDGED, "forced")]
    assert trail(book) == [("a", "queued"), ("a", "sent"), ("a", "acknowledged")]
    last = book.audit(1)[0]
    assert (last.actor, last.reason, last.hold_s, last.detail) == (
        "kim@desk",
        "smoke",
        1800,
        "forced",
    )
    assert last.line == "failsafe on a --model digits --for 30m --reason smoke"
    assert [row.time_unix_s for row in book.audit()] == [NOW + 2, NOW + 1, NOW]


def test_the_same_order_twice_is_one(book: OrderBook) -> None:
    """A verb that is repeated with its id changes nothing and leaves no second row."""
    for _ in range(2):
        book.place([order(), order("b")], NOW)
    assert trail(book) == [("a", "queued"), ("b", "queued")]


def test_all_devices_of_an_intent_are_placed_or_none(book: OrderBook) -> None:
    """What cannot be written whole is not written at all, and the error names the file."""
    other = sqlite3.connect(book.path, isolation_level=None)
    other.execute(
        "CREATE TRIGGER no_b BEFORE INSERT ON device_order WHEN NEW.device_id = 'b' "
        "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    other.close()
    with pytest.raises(StoreError, match=r"history\.db: disk full"):
        book.place([order("a"), order("b")], NOW)
    assert book.waiting() == []
    assert book.audit() == []


def test_one_of_many_claims(book: OrderBook) -> None:
    """However many consoles try at once, each order is sent by one."""
    book.place([order(command_id=f"{place:032}") for place in range(5)], NOW)
    claimed: list[str] = []
    barrier = threading.Barrier(8)

    def take(owner: str) -> None:
        barrier.wait()
        while (found := book.claim("a", URL, owner, NOW + 1)) is not None:
            claimed.append(found.command_id)
            assert book.settle(Standing(found, Outcome.ACKNOWLEDGED), owner, NOW + 1)

    threads = [threading.Thread(target=take, args=(str(each),)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [f"{place:032}" for place in range(5)]
    assert trail(book).count(("a", "sent")) == 5


def test_orders_of_a_device_keep_their_order(book: OrderBook) -> None:
    """A release never overtakes the failsafe before it; other devices do not wait for either."""
    first, second, other = order(command_id="1" * 8), order(command_id="2" * 8), order("b")
    book.place([first, second, other], NOW)
    assert book.claim("a", URL, "me", NOW + 1) == first
    assert book.claim("a", URL, "you", NOW + 1) is None
    assert book.claim("b", URL, "you", NOW + 1) == other
    book.settle(Standing(first, Outcome.REFUSED, "no ladder"), "me", NOW + 2)
    assert book.claim("a", URL, "you", NOW + 2) == second


def test_an_order_stays_with_the_device_it_was_meant_for(book: OrderBook) -> None:
    """A device of the same name at another address, in another fleet perhaps, does not get it."""
    book.place([order()], NOW)
    assert book.claim("a", "ws://127.0.0.1:2", "me", NOW + 1) is None
    assert book.claim("a", URL, "me", NOW + 1) is not None


def test_a_claim_runs_out(book: OrderBook) -> None:
    """What a console that was killed had claimed is sent by the next one; the late owner is told."""
    placed = order()
    book.place([placed], NOW)
    book.claim("a", URL, "killed", NOW)
    assert book.claim("a", URL, "next", NOW + LEASE_S - 0.1) is None
    assert book.claim("a", URL, "next", NOW + LEASE_S) == placed
    assert not book.settle(Standing(placed, Outcome.REFUSED), "killed", NOW + LEASE_S + 1)
    assert book.settle(Standing(placed, Outcome.ACKNOWLEDGED), "next", NOW + LEASE_S + 1)
    assert trail(book)[-1] == ("a", "acknowledged")


def test_who_waited_for_the_database_does_not_claim_again(book: OrderBook) -> None:
    """The time of a program that had to wait for the lock is older than the lease it finds."""
    book.place([order()], NOW)
    assert book.claim("a", URL, "first", NOW + 3) is not None
    assert book.claim("a", URL, "waited", NOW + 1) is None


def test_a_clock_set_back_does_not_hold_a_claim_for_ever(book: OrderBook) -> None:
    """A lease that ends further ahead than any lease can was made by a clock that was wrong."""
    placed = order(at=NOW - 86400)
    book.place([placed], NOW - 86400)
    book.claim("a", URL, "killed", NOW - 83000)
    assert book.claim("a", URL, "next", NOW - 86300) == placed


def test_what_breaks_on_the_way_waits_again(book: OrderBook) -> None:
    """A connection that broke puts the order back, with the reason; it is sent again."""
    placed = order()
    book.place([placed], NOW)
    book.claim("a", URL, "me", NOW + 1)
    book.settle(Standing(placed, Outcome.QUEUED, "the connection broke"), "me", NOW + 2)
    assert book.waiting() == [Standing(placed, Outcome.QUEUED, "the connection broke")]
    assert book.claim("a", URL, "you", NOW + 3) == placed


def test_orders_expire(book: OrderBook) -> None:
    """After its time an order is dropped, once; what was sent without a reply says so."""
    first, second = order("a"), order("b")
    book.place([first, second], NOW)
    assert book.expire(NOW + 1799) == []
    book.claim("b", URL, "me", NOW + 1790)
    assert book.expire(NOW + 1801) == [first]
    assert book.claim("a", URL, "me", NOW + 1801) is None
    assert book.expire(NOW + 1790 + LEASE_S) == [second]
    assert book.expire(NOW + 9999) == []
    rows = {row.device_id: row.detail for row in book.audit() if row.outcome is Outcome.EXPIRED}
    assert rows == {
        "a": "the device was not reached in time",
        "b": "it was sent and no reply came: whether it arrived is unknown",
    }


def test_the_audit_of_one_device(book: OrderBook) -> None:
    """Rows can be asked for by device, newest first, as many as are wanted."""
    book.place([order("a"), order("b")], NOW)
    book.claim("a", URL, "me", NOW)
    assert [row.outcome.value for row in book.audit(9, "a")] == ["sent", "queued"]
    assert [row.device_id for row in book.audit(1)] == ["a"]
    assert book.audit(9, "c") == []


@pytest.mark.parametrize("change", ["UPDATE audit SET reason = 'nice'", "DELETE FROM audit"])
def test_audit_rows_cannot_be_changed(book: OrderBook, change: str) -> None:
    """Not even a program that tries to: the table itself refuses."""
    book.place([order()], NOW)
    other = sqlite3.connect(book.path)
    with pytest.raises(sqlite3.IntegrityError, match="audit rows are never"):
        other.execute(change)
    other.close()
    assert book.audit()[0].reason == "smoke"


KILLED = """
import pathlib, sys, time
from edgeconsole.fleet import database
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.orders import Intent, OrderKind
path = pathlib.Path(sys.argv[1])
database.make(path)
book = OrderBook(path)
for place in range(10_000):
    intent = Intent(f"{place:032}", OrderKind.RELEASE, "kim")
    book.place([intent.order(device, "ws://x", 1.8e9) for device in "abc"], 1.8e9)
    print(place, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7])
def test_a_killed_console_leaves_whole_orders(tmp_path: Path, after: int) -> None:
    """After `kill -9` every confirmed order is there, no intent is there in part, and each has its row."""
    path = tmp_path / "history.db"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(after):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    database.make(path)
    book = OrderBook(path)
    waiting = [standing.order for standing in book.waiting()]
    assert len(waiting) >= 3 * (confirmed + 1)
    assert len(waiting) % 3 == 0
    assert len(book.audit(100_000)) == len(waiting)
