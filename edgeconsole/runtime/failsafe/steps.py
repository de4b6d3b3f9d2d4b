"""What a journey does on its route, step by step: ask a model, answer without one, tell how it went."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.runtime.failsafe.asked import Asked
from edgeconsole.runtime.failsafe.evidence import Heat
from edgeconsole.runtime.failsafe.house import HeatEvidence
from edgeconsole.runtime.failsafe.trials import Trials
from edgeconsole.runtime.serving.batcher import Answer, Outcome, Pending
from edgeconsole.runtime.serving.runner import ModelRunner

if TYPE_CHECKING:
    from edgeconsole.runtime.failsafe.route import Route

_RESERVE_SHARE: Final = 0.1
_LEAST_RESERVE_S: Final = 0.001
_MOST_RESERVE_S: Final = 0.010
_HEAD_START: Final = 2.0
_HEAD_START_SHARE: Final = 0.2
_HEAD_START_MS: Final = 2.0
"""The fallback is started by twice its own bound before it must have answered, and by this share of
the whole time, at least this much: what a busy device keeps a worker waiting for a core."""
_CHANCE: Final = 0.25
_FAIR_FACTOR: Final = 4.0
_FAIR_MS: Final = 5.0
"""A request that leaves less than this beyond the primary's usual time proves nothing by being late."""


class Steps:
    """The steps on one route."""

    def __init__(self, route: Route) -> None:
        self._route = route

    @property
    def rung(self) -> Rung:
        """Return the rung the route stands on."""
        return self._route.rung

    @property
    def trials(self) -> Trials:
        """Return what runs beside the requests."""
        return self._route.trials

    # Asking models.

    def shed_or_pass(self, asked: Asked) -> None:
        """Refuse a request that the device sheds; raises `RequestError`."""
        shed = self._route.judge.shed
        if asked.priority < shed:
            raise self._refused(
                RequestError(
                    ErrorCode.QUEUE_FULL,
                    f"the device sheds load: priorities below {shed} are refused "
                    f"({self._route.judge.state.reason})",
                    hint="try again later, or send to another device",
                )
            )

    def may_wait_for_primary(self, asked: Asked) -> bool:
        """Say whether a request may go to the primary though the route stands lower.

        That is for those that accept nothing lower, and for a route that has nothing lower: a
        primary that comes back in time still answers them.
        """
        route = self._route
        return (
            (asked.allow.depth < route.rung.depth or route.rung is Rung.STOP)
            and route.primary is not None
            and route.primary.state is not ModelState.FAILED
            and route.judge.is_open_above
            and route.house.override(route.model) is None
        )

    def submit_primary(self, pending: Pending, *, cache: bool) -> ModelRunner:
        """Hand a request to the primary; raises `RequestError`."""
        route = self._route
        runner = route.primary
        if runner is None:
            raise RequestError(
                ErrorCode.NOT_READY,
                f"{route.model!r} has no worker that can serve: "
                f"{route.house.why_not_loaded(route.model)}",
                hint="try again later",
            )
        if cache and runner.cached:
            route.house.submit(runner, pending)
        else:
            runner.submit(pending)
        return runner

    def submit_fallback(
        self, asked: Asked, finish: Callable[[Outcome], None]
    ) -> tuple[ModelRunner, Pending] | None:
        """Hand a request to the fallback model, if that can take it now."""
        standby = self._route.standby
        if standby is None:
            return None
        pending = asked.lent(finish, time.monotonic(), order=standby.order)
        try:
            standby.runner.submit(pending)
        except RequestError:
            return None
        return standby.runner, pending

    def hedge_times(self, asked: Asked) -> tuple[float | None, float | None]:
        """Return when to start the fallback and when to answer from below, where either can be."""
        route = self._route
        depth = asked.allow.depth
        standby = route.standby if depth >= Rung.FALLBACK.depth else None
        if standby is None and depth < route.constant_depth:
            return None, None
        budget_s = asked.deadline_s - asked.received_s
        answer_s = asked.deadline_s - self._reserve_s(budget_s)
        if standby is None:
            return None, answer_s
        ahead_ms = _HEAD_START * standby.runner.curve.bound_ms(asked.rows)
        ahead_ms += max(_HEAD_START_MS, _HEAD_START_SHARE * budget_s * 1e3)
        # Where that is too tight, the primary gets a quarter of the time before work is done twice.
        chance_s = min(route.nominal_ms * asked.rows / 1e3, _CHANCE * budget_s)
        return max(answer_s - ahead_ms / 1e3, asked.received_s + chance_s), answer_s

    def is_time(self, asked: Asked) -> bool:
        """Say whether the primary has had its time."""
        budget_s = asked.deadline_s - asked.received_s
        return time.monotonic() >= asked.deadline_s - self._reserve_s(budget_s)

    def _reserve_s(self, budget_s: float) -> float:
        reserve_ms = self._route.spec.reserve_ms
        if reserve_ms is not None:
            return reserve_ms / 1e3
        return min(max(_RESERVE_SHARE * budget_s, _LEAST_RESERVE_S), _MOST_RESERVE_S)

    # Answers.

    def check(self, asked: Asked, answer: Answer) -> str:
        """Return why the primary's answer is none; empty if it is one."""
        if answer.cached:
            return ""
        return self._route.guard.check(asked.inputs, answer.outputs, time.monotonic())

    def from_fallback(self, asked: Asked, answer: Answer) -> Answer:
        """Return the fallback model's answer as one to this request."""
        total_ms = (time.monotonic() - asked.received_s) * 1e3
        return replace(
            answer,
            rung=Rung.FALLBACK,
            degraded=True,
            queue_ms=max(0.0, total_ms - answer.infer_ms),
            total_ms=total_ms,
            form=None,
        )

    def without_model(self, asked: Asked, start: Rung) -> Answer | None:
        """Return the last good or the static answer, from rung `start` down; `None`: neither."""
        route = self._route
        now_s = time.monotonic()
        manifest = route.manifest
        if manifest is None:
            return None
        total_ms = (now_s - asked.received_s) * 1e3
        answer = Answer(manifest.model, manifest.version, manifest.variant, [], 0.0, 0.0, total_ms)
        answer.degraded = True
        depth = asked.allow.depth
        if start.depth <= Rung.LAST_GOOD.depth <= depth:
            kept = route.last_good.outputs(asked.rows, asked.output_names, now_s)
            if kept is not None:
                answer.rung = Rung.LAST_GOOD
                answer.outputs, answer.age_ms = kept
                return answer
        if start.depth <= Rung.STATIC.depth <= depth and route.static is not None:
            answer.rung = Rung.STATIC
            answer.failsafe = True
            answer.outputs = route.static.outputs(asked.rows, asked.output_names)
            return answer
        return None

    def nothing_left(self, asked: Asked, error: RequestError | None) -> RequestError:
        """Return why nothing answers: the primary's own error, or the ladder's."""
        if error is not None:
            return error
        route = self._route
        state = route.judge.state
        reason = f": {state.reason}" if state.reason else ""
        if route.rung is not Rung.STOP and asked.allow.depth < route.rung.depth:
            return self._refused(
                RequestError(
                    ErrorCode.DEGRADED_ONLY,
                    f"{route.model!r} stands on {route.rung}, the request allows "
                    f"{asked.allow}{reason}",
                    hint="allow a lower rung, or send to another device",
                )
            )
        heat = route.house.heat()
        if heat.heat is Heat.REFUSE:
            return self._refused(too_hot(route.model, heat))
        return self._refused(
            RequestError(
                ErrorCode.SAFE_STOP,
                f"nothing may answer for {route.model!r}{reason}",
                hint="ask why on the device; send to another device meanwhile",
            )
        )

    # How it went.

    def take(self, asked: Asked, answer: Answer) -> Answer:
        """Take in a full answer; returns it with what the device holds back while it gives it."""
        route = self._route
        route.counts.answers[Rung.PRIMARY] += 1
        judge = route.judge
        if not answer.cached:
            judge.good += 1
            if route.last_good.max_age_ms is not None:
                route.last_good.keep(answer.outputs, asked.rows, time.monotonic())
            if route.standby is not None:
                route.trials.shadow(asked)
        return replace(answer, shed=judge.shed, form=None) if judge.shed else answer

    def note_failed(self) -> None:
        """Take in a failure of the primary."""
        self._note_bad(failed=1)

    def note_late(self, primary: Pending) -> None:
        """Take in that the primary was late, if the request gave it a fair chance."""
        if self._is_fair(primary):
            self._note_bad(slow=1)

    def note_refused(self, primary: Pending, error: RequestError) -> None:
        """Take in that the primary did not answer: lateness counts, a full queue does not."""
        idle = error.estimated_wait_ms == 0.0
        if primary.began_s or (error.code is ErrorCode.DEADLINE_UNREACHABLE and idle):
            self.note_late(primary)

    def note_fallback(self, outcome: Outcome) -> None:
        """Take in how the fallback's work ended."""
        standby = self._route.standby
        if standby is not None:
            standby.proof.note(outcome)

    def note_below(self, rung: Rung, *, hedged: bool) -> None:
        """Count an answer from a lower rung; `hedged`: the primary was still asked."""
        self._route.counts.answers[rung] += 1
        self._route.counts.hedged += hedged

    def _note_bad(self, *, failed: int = 0, slow: int = 0) -> None:
        now_s = time.monotonic()
        if self._route.judge.fed(now_s, failed=failed, slow=slow):
            self._route.review(now_s)

    def _is_fair(self, primary: Pending) -> bool:
        """Compare what the worker was left with the usual: the time in the queue is not its fault."""
        left_ms = (primary.deadline_s - (primary.began_s or primary.received_s)) * 1e3
        rows = primary.batch_rows or primary.rows
        usual_ms = self._route.nominal_ms * rows
        if self._route.primary is not None:
            usual_ms = min(usual_ms, self._route.primary.curve.mean_ms(rows))
        return left_ms >= _FAIR_FACTOR * usual_ms + _FAIR_MS

    def _refused(self, error: RequestError) -> RequestError:
        self._route.counts.refused[error.code] += 1
        return error


def too_hot(model: str, heat: HeatEvidence) -> RequestError:
    """Return the refusal of a critical device, with the time after which to try again."""
    wait_s = heat.retry_after_s
    return RequestError(
        ErrorCode.SAFE_STOP,
        f"the device is too hot to answer for {model!r}: {heat.reason}",
        hint="send to another device; try again after the estimated wait",
        estimated_wait_ms=None if wait_s is None else wait_s * 1e3,
    )
