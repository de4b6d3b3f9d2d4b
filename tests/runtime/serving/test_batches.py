"""Which waiting requests go together, by deadlines, curve, shapes, priorities and age."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.serving.batcher import AGING_S, Answer, Pending, RequestBatcher
from edgeconsole.runtime.serving.curve import BatchCurve
from edgeconsole.specs import QueuePolicy

NOW_S = 1000.0
PAYS = BatchCurve([(1, 10.0), (2, 11.0), (4, 12.0), (8, 14.0), (16, 18.0), (32, 26.0)])
LINEAR = BatchCurve([(1, 10.0), (2, 20.0), (4, 40.0), (8, 80.0)])


def ask(
    *,
    priority: int = 5,
    within_ms: float = 10_000,
    rows: int = 1,
    width: int = 4,
    received_s: float = NOW_S,
) -> Pending:
    """Return a request that may share a batch."""
    return Pending(
        inputs=[np.zeros((rows, width), np.float32)],
        output_names=(),
        priority=priority,
        received_s=received_s,
        deadline_s=NOW_S + within_ms / 1e3,
        finish=lambda _: None,
        rows=rows,
        shapes=((width,),),
    )


def queue_of(*waiting: Pending) -> RequestBatcher:
    """Return a queue with these requests."""
    queue = RequestBatcher(1000, 1 << 30, QueuePolicy.REJECT)
    for pending in waiting:
        queue.push(pending, NOW_S)
    return queue


def test_what_waits_goes_together_where_that_pays():
    """Twelve requests for a model that gains from batches leave as one batch."""
    queue = queue_of(*(ask() for _ in range(12)))
    assert len(queue.take(NOW_S, PAYS, 32)) == 12
    assert len(queue) == 0


def test_where_a_batch_gains_nothing_requests_go_one_by_one():
    """For a model whose time grows with its rows nobody is made to wait for others."""
    assert len(queue_of(*(ask() for _ in range(12))).take(NOW_S, LINEAR, 32)) == 1


def test_a_batch_is_only_as_large_as_its_tightest_deadline_allows():
    """A member with 15 ms left keeps the batch below what takes 15 ms."""
    tight = ask(within_ms=15)
    batch = queue_of(tight, *(ask() for _ in range(30))).take(NOW_S, PAYS, 32)
    assert batch[0] is tight
    assert PAYS.bound_ms(len(batch)) <= 15
    assert len(batch) > 1


def test_only_requests_of_the_same_shape_share_a_batch():
    """Requests of other widths stay in the queue, in order."""
    queue = queue_of(ask(), ask(width=8), ask(), ask(width=8))
    assert {each.shapes for each in queue.take(NOW_S, PAYS, 32)} == {((4,),)}
    assert {each.shapes for each in queue.take(NOW_S, PAYS, 32)} == {((8,),)}


def test_rows_count_not_requests():
    """A batch holds at most `max_rows` rows, however they are spread over requests."""
    queue = queue_of(*(ask(rows=5) for _ in range(6)))
    assert sum(each.rows for each in queue.take(NOW_S, PAYS, 16)) == 15


def test_a_request_larger_than_a_batch_goes_alone():
    """Forty rows at once are served, without company."""
    assert [each.rows for each in queue_of(ask(rows=40), ask()).take(NOW_S, PAYS, 32)] == [40]


def test_while_several_priorities_are_about_batches_stay_short():
    """So that an urgent request finds a worker soon, no batch then takes much longer than one row."""
    queue = queue_of(*(ask(priority=1) for _ in range(20)), ask(priority=9))
    first = queue.take(NOW_S, PAYS, 32)
    assert first[0].priority == 9
    rest = queue.take(NOW_S, PAYS, 32)
    assert PAYS.bound_ms(len(rest)) <= 1.25 * PAYS.bound_ms(1)
    assert len(queue.take(NOW_S + 5, PAYS, 32)) > len(rest)  # The urgent have gone.


def test_nobody_starves():
    """A low request that has waited long enough goes before fresh high ones."""
    old = ask(priority=0, received_s=NOW_S - 11 * AGING_S)
    queue = queue_of(*(ask(priority=10) for _ in range(5)), old)
    assert queue.take(NOW_S, LINEAR, 1) == [old]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10), st.floats(1, 5000), st.integers(1, 40), st.sampled_from([4, 8])
        ),
        max_size=40,
    )
)
def test_each_request_leaves_exactly_once_and_in_time(parameters):
    """Whatever waits, batches take each request once, never mix shapes, and keep every deadline."""
    waiting = [
        ask(priority=priority, within_ms=within, rows=rows, width=width)
        for priority, within, rows, width in parameters
    ]
    queue = queue_of(*waiting)
    taken: list[Pending] = []
    while batch := queue.take(NOW_S, PAYS, 32):
        assert len({each.shapes for each in batch}) == 1
        rows = sum(each.rows for each in batch)
        if len(batch) > 1:
            assert rows <= 32
            assert all(NOW_S + PAYS.bound_ms(rows) / 1e3 <= each.deadline_s for each in batch)
        taken.extend(batch)
    assert sorted(map(id, taken)) == sorted(map(id, waiting))
    assert len(queue) == 0


def test_how_many_go_first_is_known_from_priority_and_deadline():
    """Only higher priorities, and earlier deadlines of the same one, count as being ahead."""
    queue = queue_of(
        ask(priority=9),
        ask(priority=5, within_ms=10),
        ask(priority=5, within_ms=500),
        ask(priority=1),
    )
    assert queue.rows_ahead(5, NOW_S + 0.1) == 2
    assert queue.rows_ahead(9, NOW_S) == 0
    assert queue.rows_ahead(0, NOW_S) == 4


def test_an_answer_that_cannot_be_delivered_becomes_an_error():
    """A client whose answer cannot be encoded is told so, and nobody else notices."""
    told: list[object] = []

    def finish(outcome: object) -> None:
        if isinstance(outcome, Answer):
            raise TypeError("no V2 datatype")
        told.append(outcome)

    pending = ask()
    pending.finish = finish
    pending.resolve(Answer("m", "1", "fp32", [], 0.0, 0.0, 0.0))
    (error,) = told
    assert isinstance(error, RequestError)
    assert error.code is ErrorCode.INTERNAL
    assert pending.done
