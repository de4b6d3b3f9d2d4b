"""What runs beside the requests: trials that may close a breaker, and shadows that keep a fallback proven."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from edgeconsole.bundle import Manifest
from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.failsafe import BreakerPhase
from edgeconsole.protocol.inference import DEFAULT_PRIORITY, Rung
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.failsafe.asked import Asked
from edgeconsole.runtime.failsafe.breaker import Trial
from edgeconsole.runtime.serving.batcher import Answer, Outcome

if TYPE_CHECKING:
    from edgeconsole.runtime.failsafe.route import Route

_SHADOW_S: Final = 1.0
_PROBE_AFTER_S: Final = 0.5
"""A half-open breaker without requests for so long is tried with golden inputs."""
_SAYS_NOTHING: Final = frozenset(
    {ErrorCode.NOT_READY, ErrorCode.QUEUE_FULL, ErrorCode.CANCELLED, ErrorCode.SHUTTING_DOWN}
)
"""Ends of a trial that are not the model's doing."""


class Trials:
    """One route's trials and shadows."""

    def __init__(self, route: Route, now_s: float) -> None:
        self._route = route
        self._shadow_due = 0.0
        self._tried_s = now_s

    def take(self) -> Trial | None:
        """Return a trial for the primary, if the breaker has one and the primary could pass it."""
        route, now_s = self._route, time.monotonic()
        primary = route.primary
        if (
            primary is None
            or not route.judge.may_compute
            or not primary.workers_ready
            or route.house.override(route.model) is not None
            or primary.stalled_ms(now_s) > 0.0
        ):
            return None
        return route.judge.start_trial(now_s)

    def run(self, asked: Asked, trial: Trial) -> None:
        """Let the primary compute a request that another rung answers."""
        self._try(asked, partial(self._trial_done, trial, asked), trial)

    def probe(self, now_s: float) -> None:
        """Try a half-open breaker's primary with golden inputs while no request does."""
        route = self._route
        if route.judge.breaker.phase is not BreakerPhase.HALF_OPEN:
            self._tried_s = now_s
        elif now_s - self._tried_s >= _PROBE_AFTER_S and route.primary is not None:
            golden = route.house.proof(route.primary).golden
            trial = None if golden is None else self.take()
            if trial is not None and golden is not None:
                self._run_probe(golden, trial)

    def _run_probe(self, golden: tuple[dict[str, Array], dict[str, Array]], trial: Trial) -> None:
        """Let the primary compute its golden inputs as a trial."""
        primary = self._route.primary
        assert primary is not None
        inputs = [golden[0][spec.name] for spec in primary.manifest.inputs]
        now_s = time.monotonic()
        batched = primary.manifest.is_batched
        asked = Asked(
            inputs=inputs,
            output_names=(),
            priority=DEFAULT_PRIORITY,
            received_s=now_s,
            deadline_s=now_s,
            rows=inputs[0].shape[0] if batched else 1,
            size_bytes=sum(array.nbytes for array in inputs),
            shapes=None,
            cache=False,
            allow=Rung.PRIMARY,
        )
        self._try(asked, partial(self._probe_done, trial, golden[1], primary.manifest), trial)

    def end(self, trial: Trial, *, passed: bool | None) -> None:
        """Count a trial; `None`: it says nothing."""
        now_s = time.monotonic()
        self._route.judge.end_trial(trial, now_s, passed=passed)
        self._route.review(now_s)

    def _try(self, asked: Asked, finish: Callable[[Outcome], None], trial: Trial) -> None:
        now_s = time.monotonic()
        until_s = now_s + self._route.judge.breaker_limits.trial_timeout_s
        primary = self._route.primary
        assert primary is not None
        try:
            primary.submit(asked.lent(finish, now_s, deadline_s=until_s))
        except RequestError:
            self.end(trial, passed=None)

    def _trial_done(self, trial: Trial, asked: Asked, outcome: Outcome) -> None:
        passed = isinstance(outcome, Answer) and not self._route.steps.check(asked, outcome)
        self._ended(trial, outcome, passed=passed)

    def _ended(self, trial: Trial, outcome: Outcome, *, passed: bool) -> None:
        silent = isinstance(outcome, RequestError) and outcome.code in _SAYS_NOTHING
        self.end(trial, passed=None if silent else passed)

    def _probe_done(
        self, trial: Trial, expected: dict[str, Array], manifest: Manifest, outcome: Outcome
    ) -> None:
        passed = isinstance(outcome, Answer) and (
            compare_outputs(expected, dict(outcome.outputs), manifest.execution.precision) is None
        )
        self._ended(trial, outcome, passed=passed)

    def shadow(self, asked: Asked) -> None:
        """Let the fallback run some requests too, when it has nothing else to do."""
        standby = self._route.standby
        if standby is None:
            return
        self._shadow_due += self._route.spec.shadow_share
        if self._shadow_due < 1.0 or standby.runner.busy:
            return
        self._shadow_due -= 1.0
        now_s = time.monotonic()
        pending = asked.lent(
            standby.proof.note, now_s, order=standby.order, deadline_s=now_s + _SHADOW_S
        )
        try:
            standby.runner.submit(pending)
        except RequestError:
            return
        self._route.counts.shadows += 1
