"""One request's way down the rungs: the primary's answer in time, or the next rung's; never two.

The fallback is started so early that its own latency fits before `deadline − reserve`, and its answer
is held until then: the primary may still come. Whatever comes after the answer is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.asked import Asked
from edgeconsole.runtime.failsafe.breaker import Trial
from edgeconsole.runtime.serving.batcher import Answer, Outcome, Pending, deliver
from edgeconsole.runtime.serving.runner import ModelRunner

if TYPE_CHECKING:
    from edgeconsole.runtime.failsafe.steps import Steps

FAILURES: Final = frozenset({ErrorCode.MODEL_FAILED, ErrorCode.WORKER_LOST})
"""The model or its worker is at fault."""
_STEP_DOWN: Final = FAILURES | {
    ErrorCode.NOT_READY,
    ErrorCode.QUEUE_FULL,
    ErrorCode.DEADLINE_UNREACHABLE,
    ErrorCode.DEADLINE_EXCEEDED,
}
"""After these another rung may still answer; others are the request's own fault, or its end."""


class Journey:
    """A request under way. `finish` is called once; `drop` ends it with an error."""

    __slots__ = (
        "_asked",
        "_done",
        "_error",
        "_fallback",
        "_finish",
        "_held",
        "_primary",
        "_runners",
        "_start",
        "_steps",
        "_timer",
        "_trial",
    )  # fmt: skip

    def __init__(self, steps: Steps, asked: Asked, finish: Callable[[Outcome], None]) -> None:
        self._steps = steps
        self._asked = asked
        self._finish = finish
        self._done = False
        self._primary: Pending | None = None
        self._fallback: Pending | None = None
        self._runners: list[tuple[ModelRunner, Pending]] = []
        self._held: Answer | None = None
        """The fallback's answer, while the primary may still come."""
        self._error: RequestError | None = None
        """What the primary said."""
        self._start = Rung.PEER
        """The first rung below the primary that may answer: an operator may have forced a lower one."""
        self._timer: asyncio.TimerHandle | None = None
        self._trial: Trial | None = None

    def begin(self) -> None:
        """Start on the route's rung; raises `RequestError`, and then `finish` is not called."""
        steps, asked = self._steps, self._asked
        rung = steps.rung
        if rung.depth <= Rung.SHED.depth:
            steps.shed_or_pass(asked)
            self._begin_primary()
        elif steps.may_wait_for_primary(asked):
            self._begin_primary()
        else:
            self._start = rung
            trial = steps.trials.take()
            if trial is not None and rung is Rung.STOP:
                self._trial = trial
                self._begin_primary()
                return
            if trial is not None:
                steps.trials.run(asked, trial)
            self._descend_or_raise()

    def drop(self, error: RequestError) -> None:
        """End it; results that are being computed are ignored."""
        if not self._done:
            self._end(error)

    # The primary.

    def _begin_primary(self) -> None:
        pending = self._asked.pending(self._primary_done)
        self._primary = pending
        try:
            runner = self._steps.submit_primary(pending, cache=self._asked.cache)
        except RequestError as error:
            self._primary = None
            self._end_trial(passed=None)
            if error.code not in _STEP_DOWN:
                raise
            self._error = error
            self._steps.note_refused(pending, error)
            self._descend_or_raise()
            return
        if not self._done:
            self._runners.append((runner, pending))
            self._arm()

    def _arm(self) -> None:
        """Set the clock for the next rung, if there is one."""
        launch_s, answer_s = self._steps.hedge_times(self._asked)
        if answer_s is None:
            return
        if launch_s is None:
            self._call_at(answer_s, self._answer_now)
        else:
            self._call_at(launch_s, partial(self._launch, answer_s))

    def _primary_done(self, outcome: Outcome) -> None:
        if self._done:
            return
        steps, asked = self._steps, self._asked
        if isinstance(outcome, Answer):
            bad = steps.check(asked, outcome)
            if not bad:
                if self._trial is not None:
                    self._end_trial(passed=True)
                self._end(steps.take(asked, outcome))
                return
            outcome = RequestError(ErrorCode.MODEL_FAILED, bad)
        primary, self._primary = self._primary, None
        if outcome.code not in _STEP_DOWN:
            self._end(outcome)
            return
        self._end_trial(passed=False if primary is not None and primary.began_s else None)
        self._error = outcome
        if outcome.code in FAILURES:
            steps.note_failed()
        elif primary is not None:
            steps.note_refused(primary, outcome)
        if self._fallback is None:
            refused = self._descend()
            if refused is not None:
                self._end(refused)
        elif self._held is not None:
            self._end_below(self._held)

    # The rungs below.

    def _descend_or_raise(self) -> None:
        refused = self._descend()
        if refused is not None:
            self._done = True
            self._let_go()
            try:
                raise refused
            finally:
                # An error knows this frame: held by it, it would keep the request until the
                # collector runs.
                del refused

    def _descend(self) -> RequestError | None:
        """Ask the fallback or answer from what needs no model; returns why neither can."""
        if self._start.depth <= Rung.FALLBACK.depth and self._ask_fallback():
            answer_s = self._steps.hedge_times(self._asked)[1]
            if answer_s is not None:
                self._call_at(answer_s, self._answer_now)
            return None
        return self._answer_without_model()

    def _launch(self, answer_s: float) -> None:
        """Start the fallback beside the primary that is late."""
        if not self._done:
            self._ask_fallback()
            self._call_at(answer_s, self._answer_now)

    def _ask_fallback(self) -> bool:
        """Hand the request to the fallback model; says whether it took it."""
        if self._asked.allow.depth < Rung.FALLBACK.depth:
            return False
        # The route knows best whether the fallback may answer at all.
        taken = self._steps.submit_fallback(self._asked, self._fallback_done)
        if taken is None:
            return False
        self._fallback = taken[1]
        self._runners.append(taken)
        return True

    def _fallback_done(self, outcome: Outcome) -> None:
        self._steps.note_fallback(outcome)
        if self._done:
            return
        if isinstance(outcome, Answer):
            answer = self._steps.from_fallback(self._asked, outcome)
            if self._primary is None or self._steps.is_time(self._asked):
                self._end_below(answer)
            else:
                # Its arrays are views that end with this call.
                self._held = replace(
                    answer, outputs=[(name, array.copy()) for name, array in answer.outputs]
                )
            return
        self._fallback = None
        if self._error is None:
            self._error = outcome
        if self._primary is None:
            refused = self._answer_without_model()
            if refused is not None:
                self._end(refused)

    def _answer_now(self) -> None:
        """At `deadline − reserve`: whatever there is, answers."""
        if self._done:
            return
        if self._held is not None:
            self._end_below(self._held)
        else:
            self._answer_without_model()

    def _answer_without_model(self) -> RequestError | None:
        """Give the last good or the static answer; returns why neither is one."""
        answer = self._steps.without_model(self._asked, self._start)
        if answer is None:
            return self._steps.nothing_left(self._asked, self._error)
        self._end_below(answer)
        return None

    # The end.

    def _end_below(self, answer: Answer) -> None:
        """Answer from a lower rung; a primary that still runs was late for this request."""
        primary = self._primary
        if primary is not None and primary.began_s:
            self._steps.note_late(primary)
        self._end_trial(passed=False)
        self._steps.note_below(answer.rung, hedged=primary is not None)
        self._end(answer)

    def _end(self, outcome: Outcome) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._trial is not None:
            self._end_trial(passed=None)
        for runner, pending in self._runners:
            if not pending.done:
                runner.cancel(pending, outcome if isinstance(outcome, RequestError) else _late())
        self._let_go()
        deliver(self._finish, outcome)

    def _let_go(self) -> None:
        """Break the circles of references: inputs must not wait for the collector, which runs rarely."""
        self._primary = self._fallback = self._held = self._error = None
        self._runners.clear()

    def _end_trial(self, *, passed: bool | None) -> None:
        if self._trial is not None:
            trial, self._trial = self._trial, None
            self._steps.trials.end(trial, passed=passed)

    def _call_at(self, at_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, at_s - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay_s, call)


def _late() -> RequestError:
    return RequestError(ErrorCode.DEADLINE_EXCEEDED, "another rung answered")
