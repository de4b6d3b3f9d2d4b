"""The queue: priority, deadline, arrival; bounded; and what has left holds no memory."""

from __future__ import annotations

import asyncio
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import PriorityClass
from edgeconsole.runtime.serving.batcher import Outcome, Pending, RequestBatcher
from edgeconsole.runtime.serving.curve import BatchCurve
from edgeconsole.specs import QueuePolicy

CANCELLED = RequestError(ErrorCode.CANCELLED, "cancelled")
NOW_S = 100.0
UNBOUNDED = 1 << 40


def pending(
    priority: int = 5,
    deadline_s: float = 200.0,
    *,
    size_bytes: int = 1,
    received_s: float = NOW_S,
    outcomes: list[Outcome] | None = None,
) -> Pending:
    """Return a request of one row that goes alone."""
    return Pending(
        inputs=[np.zeros(4)],
        output_names=(),
        priority=priority,
        received_s=received_s,
        deadline_s=deadline_s,
        finish=(outcomes if outcomes is not None else []).append,
        size_bytes=size_bytes,
    )


def batcher(
    max_queue: int = 100,
    max_queue_bytes: int = UNBOUNDED,
    policy: QueuePolicy = QueuePolicy.REJECT,
) -> RequestBatcher:
    """Return an empty queue."""
    return RequestBatcher(max_queue, max_queue_bytes, policy)


def pop(queue: RequestBatcher, now_s: float = NOW_S) -> Pending | None:
    """Take the one request that goes next."""
    taken = queue.take(now_s, BatchCurve(), 1)
    assert len(taken) <= 1
    return taken[0] if taken else None


def without(waiting: list[Pending], gone: Pending) -> list[Pending]:
    """Return the others."""
    return [each for each in waiting if each is not gone]


PUSHES = st.tuples(st.just("push"), st.integers(0, 10), st.sampled_from([150.0, 200.0, 250.0]))
OTHERS = st.tuples(st.sampled_from(["pop", "remove"]), st.integers(0, 10), st.just(0.0))


@given(
    steps=st.lists(st.one_of(PUSHES, PUSHES, OTHERS), max_size=100),
    max_queue=st.integers(1, 10),
    policy=st.sampled_from(QueuePolicy),
)
def test_the_queue_is_a_sorted_list_with_a_bound(
    steps: list[tuple[str, int, float]], max_queue: int, policy: QueuePolicy
) -> None:
    """Any mix of steps behaves as a list sorted by priority, deadline and arrival would."""
    queue = batcher(max_queue, policy=policy)
    model: list[Pending] = []
    arrived: list[Pending] = []
    for step, number, deadline_s in steps:
        if step == "push":
            added = pending(number, deadline_s)
            band = PriorityClass.of(number)
            rivals = [each for each in arrived if PriorityClass.of(each.priority) is band]
            full = len(rivals) == max_queue
            if full and policy is QueuePolicy.REJECT:
                with pytest.raises(RequestError) as caught:
                    queue.push(added, NOW_S)
                assert caught.value.code is ErrorCode.QUEUE_FULL
                continue
            dropped = queue.push(added, NOW_S)
            assert dropped is (rivals[0] if full else None)
            if dropped is not None:
                model = without(model, dropped)
                arrived = without(arrived, dropped)
            model.append(added)
            arrived.append(added)
            model.sort(key=lambda each: (-each.priority, each.deadline_s))  # A stable sort.
        elif step == "pop":
            taken = model.pop(0) if model else None
            assert pop(queue) is taken
            if taken is not None:
                arrived = without(arrived, taken)
        elif model:
            gone = model.pop(number % len(model))
            arrived = without(arrived, gone)
            assert queue.remove(gone)
            assert not queue.remove(gone)
        assert len(queue) == len(model)
        assert [id(each) for each in queue] == [id(each) for each in model]
    for expected in model:
        assert pop(queue) is expected
    assert pop(queue) is None


@pytest.mark.parametrize(
    ("requests", "order"),
    [
        ([(0, 101.0), (10, 109.0), (5, 105.0)], [1, 2, 0]),
        ([(5, 103.0), (5, 101.0), (5, 102.0)], [1, 2, 0]),
        ([(5, 101.0), (5, 101.0), (5, 101.0)], [0, 1, 2]),
    ],
)
def test_order(requests: list[tuple[int, float]], order: list[int]) -> None:
    """The higher priority first, then the earlier deadline, then who came first."""
    queue = batcher()
    waiting = [pending(priority, deadline_s) for priority, deadline_s in requests]
    for each in waiting:
        queue.push(each, NOW_S)
    assert [pop(queue) for _ in waiting] == [waiting[index] for index in order]


@pytest.mark.parametrize(("waited_s", "patient_first"), [(0.0, False), (2.0, False), (4.0, True)])
def test_nobody_starves(waited_s: float, *, patient_first: bool) -> None:
    """Each second of waiting counts as one priority more."""
    queue = batcher()
    patient = pending(2, received_s=NOW_S - waited_s)
    queue.push(patient, NOW_S)
    queue.push(pending(5), NOW_S)
    assert (pop(queue) is patient) is patient_first


def test_a_full_queue_says_what_to_do() -> None:
    """The refusal has its code, the number that wait and a hint; other classes still get in."""
    queue = batcher(max_queue=1)
    first, urgent = pending(), pending(priority=10)
    queue.push(first, NOW_S)
    with pytest.raises(RequestError, match="1 normal requests wait already") as caught:
        queue.push(pending(), NOW_S)
    assert caught.value.code is ErrorCode.QUEUE_FULL
    assert "try again later" in caught.value.hint
    queue.push(urgent, NOW_S)
    assert [pop(queue), pop(queue), pop(queue)] == [urgent, first, None]


def test_bytes_are_bounded_too() -> None:
    """Large requests are refused before their number would be too high; leaving makes room."""
    queue = batcher(max_queue_bytes=10)
    first = pending(size_bytes=6)
    queue.push(first, NOW_S)
    with pytest.raises(RequestError) as caught:
        queue.push(pending(size_bytes=5), NOW_S)
    assert caught.value.code is ErrorCode.QUEUE_FULL
    assert pop(queue) is first
    queue.push(pending(size_bytes=5), NOW_S)
    queue.push(pending(size_bytes=5), NOW_S)
    assert len(queue) == 2


def test_requests_that_left_hold_no_tensors() -> None:
    """However many expire behind one that waits, nothing of them is kept."""
    queue = batcher(max_queue=10_000)
    queue.push(pending(priority=10), NOW_S)
    tensors = []
    for _ in range(500):
        expired = pending()
        tensors.append(weakref.ref(expired.inputs[0]))
        queue.push(expired, NOW_S)
        expired.resolve(CANCELLED)
        queue.remove(expired)
    del expired
    assert len(queue) == 1
    assert not any(tensor() is not None for tensor in tensors)


def test_clear_takes_all_that_wait() -> None:
    """What is cleared is each waiting request once; those that left are left out."""
    queue = batcher()
    waiting = [pending(priority) for priority in (1, 2, 3)]
    for each in waiting:
        queue.push(each, NOW_S)
    queue.remove(waiting[1])
    assert sorted(each.priority for each in queue.clear()) == [1, 3]
    assert (len(queue), pop(queue), queue.clear()) == (0, None, [])


def test_a_request_is_finished_once() -> None:
    """The first outcome is the only one a client sees."""
    outcomes: list[Outcome] = []
    request = pending(outcomes=outcomes)
    request.resolve(CANCELLED)
    request.resolve(RequestError(ErrorCode.INTERNAL, "too late"))
    assert outcomes == [CANCELLED]
    assert request.done


async def test_a_finished_request_needs_no_timer() -> None:
    """With the outcome, the timer of the deadline is cancelled."""
    request = pending()
    timer = asyncio.get_running_loop().call_later(60, pytest.fail, "it fired")
    request.timer = timer
    request.resolve(CANCELLED)
    assert timer.cancelled()
