"""Orders with a task: their written form, their command, their lane, their way over a real disk."""

from __future__ import annotations

import argparse
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from edgeconsole.errors import StoreError
from edgeconsole.fleet import database
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.dispatch import Courier
from edgeconsole.fleet.order_book import LEASE_S, OrderBook
from edgeconsole.fleet.orders import Intent, Lane, Order, OrderKind, Outcome, Standing
from edgeconsole.fleet.tasks import (
    PRESENT_S,
    ActivateTask,
    CancelTask,
    LoadTask,
    OptimizeTask,
    RemoveTask,
    RollBackTask,
    StoreTask,
    Task,
    UnloadTask,
)
from edgeconsole.optimization_options import Asked, add_options, read_options
from edgeconsole.protocol.control import (
    ActivateModel,
    CancelJob,
    CheckModel,
    Command,
    Done,
    LoadModel,
    Optimize,
    OptimizeReply,
    RemoveModel,
    RollBackModel,
    UnloadModel,
)
from edgeconsole.protocol.optimization import Constraints, Objective
from edgeconsole.specs import ModelOptimizationLevel

NOW = 1_800_000_000.0
URL = "ws://127.0.0.1:1"
ID = "c" * 32
DIGEST = "d" * 64
ASKED = Asked(
    ModelOptimizationLevel.QUANTIZATION,
    Objective.SIZE,
    Constraints(max_drop=0.5, max_p99_ms=2.5, max_memory_bytes=64 << 20, max_size_bytes=123_457),
    90.0,
)
TASKS: dict[Task, str] = {
    OptimizeTask("digits/1", ASKED, DIGEST): (
        "optimize digits/1 --on dev-1 --level quantization --objective size --max-drop 0.5 "
        f"--max-p99-ms 2.5 --max-memory-mb 64 --max-size-mb {123_457 / 2**20!r} --budget 1m30s"
    ),
    CancelTask("job-5"): "jobs cancel dev-1 job-5",
    ActivateTask("digits", "1", "int8", DIGEST, "e" * 64): "activate dev-1 digits/1/int8",
    ActivateTask("digits"): "activate dev-1 digits",
    RollBackTask("it's", DIGEST): "rollback dev-1 'it'\"'\"'s'",
    LoadTask("digits", "", "int8"): "load dev-1 digits//int8",
    UnloadTask("digits", "1"): "unload dev-1 digits/1",
    StoreTask("my bundles/digits", DIGEST): "deploy --no-activate dev-1 'my bundles/digits'",
    RemoveTask("digits/1/int8", DIGEST): f"models remove dev-1 digits/1/int8 --digest {'d' * 12}",
}


def order(task: Task, *, mark: str = "c", at: float = NOW, url: str = URL) -> Order:
    """Return an order with a task."""
    return Intent.of(task, mark * 32, "kim@desk").order("dev-1", url, at)


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    """Return an empty book."""
    database.make(tmp_path / "history.db")
    return OrderBook(tmp_path / "history.db")


def test_every_task_is_a_kind_of_order() -> None:
    """What a task is called is what an order is called."""
    words = {each.words for each in get_args(Task)}
    assert words == {kind.value for kind in OrderKind if kind.lane is Lane.WORK}


@pytest.mark.parametrize(("task", "line"), TASKS.items())
def test_every_task_has_its_written_form(task: Task, line: str) -> None:
    """As one types it, safe for a shell."""
    placed = order(task)
    assert placed.line == line
    assert placed.kind.value == task.words
    assert line.startswith(task.words)


def test_why_something_is_optimised_is_part_of_the_order() -> None:
    """It is typed with it, and so it is written with it; other tasks take no reason."""
    for task in TASKS:
        placed = Intent.of(task, ID, "kim", "it's hot").order("dev-1", URL, NOW)
        assert placed.reason == "it's hot"
        words = shlex.split(placed.line)
        assert (words[-2:] == ["--reason", "it's hot"]) == isinstance(task, OptimizeTask)


@pytest.mark.parametrize("asked", [ASKED, Asked()])
def test_the_written_form_of_an_optimisation_means_the_same(asked: Asked) -> None:
    """Typed again it asks for exactly the same, fractions of a megabyte included."""
    words = shlex.split(OptimizeTask("digits", asked).line("a"))
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs=2)
    parser.add_argument("--on")
    add_options(parser)
    assert read_options(parser.parse_args(words)) == asked


def test_every_task_becomes_its_command() -> None:
    """With the order's id, so that it is carried out once, and with who ordered it."""
    commands = [order(task).command("7", NOW) for task in TASKS]
    assert {each.command_id for each in commands} == {ID}
    optimize, cancel, activate, newest, roll_back, load, unload, store, remove = commands
    assert optimize == Optimize(
        "7",
        "kim@desk",
        digest=DIGEST,
        level=ASKED.level,
        objective=ASKED.objective,
        max_drop=0.5,
        max_p99_ms=2.5,
        max_memory_bytes=64 << 20,
        max_size_bytes=123_457,
        budget_s=90.0,
        command_id=ID,
    )
    assert cancel == CancelJob("7", "job-5", "kim@desk", ID)
    assert activate == ActivateModel("7", "digits", "1", "int8", DIGEST, "e" * 64, ID)
    assert newest == ActivateModel("7", "digits", command_id=ID)
    assert roll_back == RollBackModel("7", "it's", DIGEST, ID)
    assert load == LoadModel("7", "digits", "", "int8", ID)
    assert unload == UnloadModel("7", "digits", "1", "", ID)
    assert store == CheckModel("7", DIGEST, ID)
    assert remove == RemoveModel("7", DIGEST, ID)


def test_what_was_decided_by_looking_is_not_carried_out_an_hour_later() -> None:
    """Only an optimisation waits for a device; the rest is about what somebody saw."""
    for task in TASKS:
        waits_s = order(task).send_before_unix_s - NOW
        assert waits_s == (3600.0 if isinstance(task, OptimizeTask) else PRESENT_S)


@pytest.mark.parametrize("task", TASKS)
def test_tasks_survive_the_disk(book: OrderBook, task: Task) -> None:
    """What comes out of the book is what was put in, and the audit has the line."""
    placed = order(task)
    book.place([placed], NOW)
    assert OrderBook(book.path).waiting() == [Standing(placed, Outcome.QUEUED)]
    assert book.audit(1)[0].line == placed.line
    assert book.claim("dev-1", URL, "me", NOW, Lane.WORK) == placed


def test_a_stop_does_not_wait_for_a_model_that_is_loaded(book: OrderBook) -> None:
    """Each lane has its own oldest order; within a lane they stay one behind the other."""
    stop = Intent("e" * 32, OrderKind.FAILSAFE_ON, "kim").order("dev-1", URL, NOW)
    first = order(ActivateTask("digits"), mark="a")
    second = order(CancelTask("j"), mark="b")
    book.place([first, second, stop], NOW)
    assert book.claim("dev-1", URL, "me", NOW, Lane.WORK) == first
    assert book.claim("dev-1", URL, "you", NOW, Lane.WORK) is None
    assert book.claim("dev-1", URL, "you", NOW, Lane.LADDER) == stop


def test_a_claim_holds_for_as_long_as_a_load_may_take(book: OrderBook) -> None:
    """Another console must not send an activation again while the first still waits for its end."""
    placed = order(ActivateTask("digits"))
    book.place([placed], NOW)
    book.claim("dev-1", URL, "killed", NOW, Lane.WORK)
    assert book.claim("dev-1", URL, "next", NOW + LEASE_S + 1, Lane.WORK) is None
    lease_s = LEASE_S + 65.0
    assert lease_s > PRESENT_S
    assert book.expire(NOW + lease_s - 1) == []
    assert book.expire(NOW + lease_s) == [placed]


def test_a_book_from_before_tasks_is_taken_over(tmp_path: Path) -> None:
    """Its orders are still there, and new ones have their task."""
    path = tmp_path / "history.db"
    database.make(path)
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE device_order DROP COLUMN task")
        old.execute("PRAGMA user_version=2")
        old.execute(
            "INSERT INTO device_order (command_id, device_id, url, kind, model, reason, actor, "
            "issued_unix_s, send_before_unix_s, state, detail, owner, lease_until_unix_s) "
            f"VALUES ('{ID}', 'dev-1', '{URL}', 'release', '', 'r', 'kim', {NOW}, {NOW + 9}, "
            "'queued', '', '', 0)"
        )
    old.close()
    database.make(path)
    book = OrderBook(path)
    (before,) = book.waiting()
    assert (before.order.kind, before.order.task) == (OrderKind.RELEASE, None)
    book.place([order(CancelTask("j"), mark="d")], NOW)
    assert [each.order.task for each in book.waiting()] == [None, CancelTask("j")]


@pytest.mark.parametrize("task", ['{"type":"dance"}', "{", '{"type":"cancel"}', "7"])
def test_a_task_that_cannot_be_read_is_said(book: OrderBook, task: str) -> None:
    """One of a newer program, or damaged: an error with what to do, not a crash."""
    book.place([order(CancelTask("j"))], NOW)
    with database.transaction(book.path) as other:
        other.execute("UPDATE device_order SET task = ?", (task,))
    with pytest.raises(StoreError, match="cannot be read"):
        book.waiting()


async def test_the_device_s_words_are_kept(book: OrderBook, small_agent: Any) -> None:
    """A job's id and its place in the queue; of what else is done, the sentence."""

    def answer(command: Command) -> list[Any] | None:
        if isinstance(command, Optimize):
            return [OptimizeReply(command.id, "job-9", 2)]
        return [Done(command.id, "it is done")] if isinstance(command, CancelJob) else None

    small_agent.answer = answer
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        now = time.time()
        tasks = (OptimizeTask("digits", Asked()), CancelTask("j"))
        placed = [
            order(task, mark=mark, at=now, url=small_agent.url)
            for task, mark in zip(tasks, "ab", strict=True)
        ]
        book.place(placed, now)
        assert await Courier(book).deliver("dev-1", link) == 2
    details = [book.standings(each.command_id)[0].detail for each in placed]
    assert details == ["job job-9 is queued, 2 before it", "it is done"]


async def test_a_queued_job_is_no_answer_to_another_order(
    book: OrderBook, small_agent: Any
) -> None:
    """A reply of the wrong kind is no success."""
    small_agent.answer = lambda command: [OptimizeReply(command.id, "job-9", 0)]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        now = time.time()
        book.place([order(CancelTask("j"), at=now, url=small_agent.url)], now)
        await Courier(book).deliver("dev-1", link)
    assert book.standings(ID)[0].outcome is Outcome.REFUSED
