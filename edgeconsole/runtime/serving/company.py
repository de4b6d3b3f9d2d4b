"""How long requests wait for company (`max_delay_ms`, off by default). Pure; monotonic seconds."""

from __future__ import annotations

from edgeconsole.runtime.serving.batcher import RequestBatcher
from edgeconsole.runtime.serving.curve import BatchCurve


def waits_until_s(
    queue: RequestBatcher,
    curve: BatchCurve,
    max_rows: int,
    idle_since_s: float,
    max_delay_s: float,
) -> float:
    """Return until when what waits should wait for more, with a worker idle since then; the past: no longer.

    Company is worth no deadline: the tightest keeps a quarter of its time, and twice what it takes.
    """
    if len(queue) >= curve.enough_rows(max_rows):
        return float("-inf")
    first_s = min(each.received_s for each in queue)
    tightest = min(queue, key=lambda each: each.deadline_s)
    slack_s = 0.25 * (tightest.deadline_s - tightest.received_s)
    runs_s = 2 * curve.bound_ms(tightest.rows) / 1e3
    return min(max(first_s, idle_since_s) + max_delay_s, tightest.deadline_s - max(slack_s, runs_s))
