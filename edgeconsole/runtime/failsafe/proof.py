"""Whether a loaded model still gives its golden answers: asked again and again, in every worker."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import DEFAULT_PRIORITY
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.serving.batcher import Answer, Outcome, Pending
from edgeconsole.runtime.serving.runner import ModelRunner

TEST_TIMEOUT_S: Final = 5.0
STALE_AFTER: Final = 6
"""A proof older than so many intervals no longer counts."""
_BAD_IN_A_ROW: Final = 3
"""So many failures of other work (shadows, answers in another's place) end a proof as well."""
_FAILURES: Final = frozenset({ErrorCode.MODEL_FAILED, ErrorCode.WORKER_LOST})

Golden = tuple[dict[str, Array], dict[str, Array]]


class Proof:
    """One loaded bundle's proof. At first it is what its worker showed when it was loaded."""

    def __init__(self, runner: ModelRunner, every_s: float, now_s: float) -> None:
        self.runner = runner
        self.golden: Golden | None = None
        """Set once it was read from disk; until then nothing is tested."""
        self.reason = ""
        """Why it does not hold; empty: it does."""
        self.took_ms: float | None = None
        self.passed_s = now_s
        self._every_s = every_s
        self._begun_s = now_s
        self._failed_s = float("-inf")
        """When the latest test that failed began: what the other workers say in it does not help."""
        self._open = 0
        self._bad = 0

    def age_s(self, now_s: float) -> float:
        """Return how long ago the model last gave its golden answers."""
        return max(0.0, now_s - self.passed_s)

    def down(self, now_s: float) -> str:
        """Return why the model may not answer in another's place; empty if it may."""
        if self.reason:
            return self.reason
        age_s, most_s = self.age_s(now_s), STALE_AFTER * self._every_s
        if age_s > most_s:
            return f"its last self-test is {age_s:.0f} s old, {most_s:.0f} s are allowed"
        return ""

    def check(self, now_s: float) -> None:
        """Begin a test if it is time: when idle, or in between when there was no idle moment."""
        if self.golden is None or self._open or not self.runner.workers_ready:
            return
        waited_s = now_s - self._begun_s
        overdue = waited_s >= self._every_s * STALE_AFTER / 2
        if overdue or (waited_s >= self._every_s and not self.runner.busy):
            self.begin(now_s)

    def begin(self, now_s: float) -> None:
        """Ask every worker for the golden answers; the outcome comes later."""
        if self.golden is None:
            return
        self._begun_s = now_s
        inputs, expected = self.golden
        manifest = self.runner.manifest
        ordered = [inputs[spec.name] for spec in manifest.inputs]
        for _ in range(self.runner.workers_ready):
            pending = Pending(
                inputs=ordered,
                output_names=(),
                # Another class than most would make the batcher guard against long batches.
                priority=DEFAULT_PRIORITY,
                received_s=now_s,
                deadline_s=now_s + TEST_TIMEOUT_S,
                finish=partial(self._ended, expected, now_s),
                rows=ordered[0].shape[0] if manifest.is_batched else 1,
                size_bytes=sum(array.nbytes for array in ordered),
                # Without shapes it shares no batch, so that idle workers get one each.
                shapes=None,
                counted=False,
            )
            self._open += 1
            try:
                self.runner.submit(pending)
            except RequestError:
                self._open -= 1  # Not now: the proof only gets older.

    def note(self, outcome: Outcome) -> None:
        """Take in how other work ended that was no client's request to this model."""
        if isinstance(outcome, Answer):
            self._bad = 0
        elif outcome.code in _FAILURES:
            self._bad += 1
            if self._bad >= _BAD_IN_A_ROW:
                self.reason = f"it failed {self._bad} times in a row: {outcome.message}"

    def _ended(self, expected: dict[str, Array], begun_s: float, outcome: Outcome) -> None:
        self._open -= 1
        now_s = time.monotonic()
        if isinstance(outcome, Answer):
            difference = compare_outputs(
                expected, dict(outcome.outputs), self.runner.manifest.execution.precision
            )
            if difference is None:
                if begun_s != self._failed_s:
                    self._pass(now_s, (now_s - begun_s) * 1e3)
            elif begun_s != self._failed_s:
                self._failed_s = begun_s
                self.reason = f"the golden self-test failed: {difference}"
                # A model that was right when it was loaded: its worker is damaged, not the bundle.
                self.runner.replace_workers("golden_drift", self.reason)
        elif outcome.code in _FAILURES:
            self._failed_s = begun_s
            self.reason = f"the golden self-test failed: {outcome.message}"

    def _pass(self, now_s: float, took_ms: float) -> None:
        self.reason = ""
        self._bad = 0
        self.passed_s = now_s
        self.took_ms = took_ms
