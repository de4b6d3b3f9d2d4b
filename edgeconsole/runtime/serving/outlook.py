"""`Outlook`: what a request may expect of a model, and whether that is in time. Pure: times are given.

What is not in time is refused at once, with the estimate; all times in milliseconds unless named `_s`.
"""

from __future__ import annotations

from typing import Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.serving.batcher import Pending
from edgeconsole.runtime.serving.curve import BatchCurve
from edgeconsole.runtime.serving.forecast import WaitForecast

_MARGIN_MS: Final = 2.0
_MARGIN_SHARE: Final = 0.05
"""What an answer may be delayed on its way out: a busy loop's longest callback."""
_QUIET_S: Final = 1.0
_WAITED_S: Final = 0.002
"""What a worker got sooner did not wait: if that is late, the model is slow and not the queue long."""
_TOO_LATE: Final = frozenset({ErrorCode.DEADLINE_EXCEEDED, ErrorCode.DEADLINE_UNREACHABLE})


class Outlook:
    """One model's: its batch-latency curve, and how well expected waits come true."""

    def __init__(self) -> None:
        self.curve = BatchCurve()
        self._forecast = WaitForecast()
        self._ran_s = float("-inf")

    def wait_ms(self, rows_ahead: int, most_rows: int, *, free_in_ms: float, workers: int) -> float:
        """Return how long a request with so many rows ahead of it waits for a worker."""
        queue_ms = 0.0
        if rows_ahead:
            size = self.curve.enough_rows(most_rows)
            batches, rest = divmod(rows_ahead, size)
            queue_ms = batches * self.curve.mean_ms(size)
            if rest:
                queue_ms += self.curve.mean_ms(rest)
        return max(0.0, free_in_ms) + queue_ms / max(workers, 1)

    def check_idle(self, pending: Pending, now_s: float) -> None:
        """Refuse what cannot be answered in time by a worker that is free."""
        self._check(pending, now_s, 0.0, self._shortest_ms(pending.rows, now_s))

    def check_waiting(self, pending: Pending, now_s: float, wait_ms: float) -> None:
        """Refuse what cannot be answered in time after such a wait; what passes is promised it."""
        self._check(pending, now_s, wait_ms, self.curve.bound_ms(pending.rows))
        pending.expected_ms = wait_ms

    def too_late(self, pending: Pending, now_s: float, *, others_wait: bool) -> RequestError | None:
        """Return why a request whose turn has come would be late even if it ran at once."""
        left_ms = (pending.deadline_s - now_s) * 1e3
        # With others waiting, time is not spent on a gamble.
        if others_wait:
            takes_ms = self.curve.mean_ms(pending.rows)
        else:
            takes_ms = self._shortest_ms(pending.rows, now_s)
        if left_ms >= takes_ms:
            return None
        return RequestError(
            ErrorCode.DEADLINE_UNREACHABLE,
            f"{left_ms:.1f} ms are left when its turn came, too few to answer",
            estimated_wait_ms=(now_s - pending.received_s) * 1e3,
        )

    def runs(self, pending: Pending, now_s: float) -> None:
        """Take in that a request's wait is over."""
        self._ran_s = now_s
        if pending.expected_ms:
            self._forecast.observe(pending.expected_ms, (now_s - pending.received_s) * 1e3)
            pending.expected_ms = 0.0

    def given_up(self, pending: Pending, error: RequestError, now_s: float) -> None:
        """Take in that a request was given up; if it was for its deadline, the wait was too long."""
        if error.code not in _TOO_LATE:
            return
        if pending.expected_ms:
            self._forecast.missed(pending.expected_ms, (now_s - pending.received_s) * 1e3)
            self._forecast.broken(now_s)
        elif pending.began_s - pending.received_s > _WAITED_S:
            self._forecast.broken(now_s)

    def _check(self, pending: Pending, now_s: float, wait_ms: float, service_ms: float) -> None:
        budget_ms = (pending.deadline_s - now_s) * 1e3
        margin_ms = min(_MARGIN_MS, _MARGIN_SHARE * budget_ms)
        if wait_ms * self._forecast.factor(now_s) + service_ms + margin_ms > budget_ms:
            raise RequestError(
                ErrorCode.DEADLINE_UNREACHABLE,
                f"an answer would take about {wait_ms + service_ms:.1f} ms, "
                f"{budget_ms:.1f} ms are left",
                hint="allow more time, or send to another device",
                estimated_wait_ms=wait_ms,
            )

    def _shortest_ms(self, rows: int, now_s: float) -> float:
        """Return about the shortest time a batch takes; after a quiet second, nothing is known.

        An idle worker deserves the benefit of the doubt; a queue only grows worse. What is refused
        teaches nothing: without this a model that was slow once would refuse for ever.
        """
        return self.curve.least_ms(rows) if now_s - self._ran_s < _QUIET_S else 0.0
