"""Answers that serve more than one request: from the cache, or from a computation in flight."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import PriorityClass
from edgeconsole.runtime.serving.batcher import Answer, Outcome, Pending
from edgeconsole.runtime.serving.cache import InferenceCache, cache_key
from edgeconsole.runtime.serving.runner import ModelRunner

_SAME_FOR_ALL = frozenset({ErrorCode.MODEL_FAILED, ErrorCode.WORKER_LOST})
"""Failures that come from the input: who asked the same gets the same."""


@dataclass(slots=True)
class _Flight:
    leader: Pending
    followers: list[Pending]


class AnswerSharing:
    """Stands before a runner: the same question is computed once."""

    def __init__(self, cache: InferenceCache) -> None:
        self.cache = cache
        self._flights: dict[bytes, _Flight] = {}

    def submit(self, runner: ModelRunner, pending: Pending) -> None:
        """Answer from the cache, join a computation in flight, or start one.

        Raises `RequestError` as `ModelRunner.submit` does.
        """
        key = cache_key(runner.bundle.digest, pending.inputs, pending.output_names)
        outputs = self.cache.get(key, pending.received_s)
        if outputs is not None:
            runner.metrics.requests_total += 1
            runner.metrics.cached_total += 1
            self._share(runner, pending, Answer("", "", "", outputs, 0.0, 0.0, 0.0))
            return
        flight = self._flights.get(key)
        if flight is None:
            self._lead(runner, pending, key, [])
        elif flight.leader.priority < pending.priority:
            runner.submit(pending)  # It must not wait in a slower lane.
        else:
            runner.metrics.requests_total += 1
            flight.followers.append(pending)
            runner.watch(pending)

    def _lead(
        self, runner: ModelRunner, pending: Pending, key: bytes, followers: list[Pending]
    ) -> None:
        """Compute for one request, and for those that ask the same meanwhile."""
        finish = pending.finish
        pending.finish = partial(self._landed, runner, key, finish)
        self._flights[key] = _Flight(pending, followers)
        try:
            runner.submit(pending)
        except RequestError:
            del self._flights[key]
            pending.finish = finish
            raise

    def _landed(
        self,
        runner: ModelRunner,
        key: bytes,
        finish: Callable[[Outcome], None],
        outcome: Outcome,
    ) -> None:
        flight = self._flights.pop(key, None)
        followers = [each for each in flight.followers if not each.done] if flight else []
        if isinstance(outcome, Answer):
            if not outcome.degraded:
                self.cache.put(key, outcome.outputs, time.monotonic())
            for follower in followers:
                runner.metrics.coalesced_total += 1
                self._share(runner, follower, outcome)
        elif outcome.code in _SAME_FOR_ALL:
            for follower in followers:
                runner.metrics.failed[outcome.code] += 1
                follower.resolve(outcome)
        finish(outcome)
        if followers and not isinstance(outcome, Answer) and outcome.code not in _SAME_FOR_ALL:
            self._promote(runner, key, followers)

    def _promote(self, runner: ModelRunner, key: bytes, followers: list[Pending]) -> None:
        """Let another request lead: the first one was cancelled or ran out of time."""
        leader, *rest = followers
        try:
            self._lead(runner, leader, key, rest)
        except RequestError as error:
            for follower in followers:
                follower.resolve(error)

    def _share(self, runner: ModelRunner, pending: Pending, answer: Answer) -> None:
        now_s = time.monotonic()
        total_ms = (now_s - pending.received_s) * 1e3
        runner.metrics.record(
            now_s,
            PriorityClass.of(pending.priority),
            queue_ms=0.0,
            batch_ms=0.0,
            infer_ms=0.0,
            total_ms=total_ms,
        )
        manifest = runner.manifest
        pending.resolve(
            replace(
                answer,
                model=manifest.model,
                version=manifest.version,
                variant=manifest.variant,
                queue_ms=0.0,
                infer_ms=0.0,
                total_ms=total_ms,
                cached=True,
                form=None,  # The form is that of answers that were computed.
            )
        )
