"""How long what waits should wait for company, by a clock of the test's own."""

from __future__ import annotations

import numpy as np

from edgeconsole.runtime.serving.batcher import Pending, RequestBatcher
from edgeconsole.runtime.serving.company import waits_until_s
from edgeconsole.runtime.serving.curve import BatchCurve
from edgeconsole.specs import QueuePolicy

PAYS = BatchCurve([(1, 10.0), (2, 11.0), (4, 12.0), (8, 14.0)])
NOW_S = 1000.0


def queue_of(*waiting: tuple[float, float]) -> RequestBatcher:
    """Return a queue of requests, each with when it came and its deadline after `NOW_S`."""
    queue = RequestBatcher(100, 1 << 20, QueuePolicy.REJECT)
    for received_s, within_s in waiting:
        pending = Pending(
            inputs=[np.zeros((1, 4), np.float32)],
            output_names=(),
            priority=5,
            received_s=received_s,
            deadline_s=NOW_S + within_s,
            finish=lambda _: None,
            shapes=((4,),),
        )
        queue.push(pending, received_s)
    return queue


def until_s(queue: RequestBatcher, idle_since_s: float = 0.0, max_delay_s: float = 0.02) -> float:
    """Return until when the queue waits, with a worker that has long been idle."""
    return waits_until_s(queue, PAYS, 8, idle_since_s, max_delay_s)


def test_the_delay_counts_from_the_first_request() -> None:
    """A later one does not prolong the wait of the first."""
    assert until_s(queue_of((NOW_S, 10.0), (NOW_S + 0.015, 10.0))) == NOW_S + 0.02


def test_a_worker_that_was_busy_is_waited_with_only_since_it_is_idle() -> None:
    """What waited behind a running batch still gets the delay for company: it was not waiting for that."""
    assert until_s(queue_of((NOW_S, 10.0)), idle_since_s=NOW_S + 0.5) == NOW_S + 0.52


def test_enough_company_is_not_waited_for() -> None:
    """A full batch goes at once."""
    assert until_s(queue_of(*[(NOW_S, 10.0)] * 8)) < NOW_S


def test_no_deadline_is_spent_on_company() -> None:
    """The tightest deadline keeps a quarter of its time, and twice what the model takes."""
    assert until_s(queue_of((NOW_S, 0.1)), max_delay_s=1.0) == NOW_S + 0.075
    tight_s = until_s(queue_of((NOW_S, 10.0), (NOW_S, 0.03)), max_delay_s=1.0)
    assert tight_s <= NOW_S + 0.03 - 2 * PAYS.bound_ms(1) / 1e3
