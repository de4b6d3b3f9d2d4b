"""How long and how fast a student learns, when it is judged, and when it stops; needs no torch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

_ROUNDS: Final = 20
"""How often held-out rows judge, at least."""
_MOST_BETWEEN: Final = 100
_PATIENCE: Final = 0.35
"""Of all steps: how many may pass without a better loss."""
_WARM_UP: Final = 0.05
_FIRST_LOOK: Final = 5
"""Steps after which it is clear how long one takes."""
_SPARE: Final = 0.9


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; the same seed gives the same weights on one machine.

    That holds for one number of threads, and where the deadline does not shorten the training.
    """

    steps: int
    learning_rate: float
    temperature: float = 2.0
    seed: int = 0
    deadline_s: float = math.inf
    """On `time.monotonic`'s clock."""


class Course:
    """One training's way through a schedule: fewer steps where the deadline allows no more."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._started_s = time.monotonic()
        self._best_at = 0
        self._is_timed = False
        self.steps = schedule.steps
        self.done = 0
        self.is_cut = False
        """Whether the deadline ended or shortened it."""

    def goes_on(self) -> bool:
        """Say whether there is a next step."""
        if self.done >= self.steps or self.done - self._best_at >= _PATIENCE * self.steps:
            return False
        if time.monotonic() < self._schedule.deadline_s:
            return True
        self.is_cut = True
        return False

    def rate(self) -> float:
        """Return the learning rate of the next step: a short rise, then half a cosine to zero."""
        share = self.done / self.steps
        if share < _WARM_UP:
            factor = (share + 0.01) / (_WARM_UP + 0.01)
        else:
            factor = 0.5 * (1.0 + math.cos(math.pi * share))
        return self._schedule.learning_rate * factor

    def advance(self) -> bool:
        """Count a step; say whether it is time to judge."""
        self.done += 1
        if self.done == _FIRST_LOOK:
            self._fit()
        every = min(max(1, self.steps // _ROUNDS), _MOST_BETWEEN)
        return self.done % every == 0 or self.done >= self.steps

    def judged(self, *, is_best: bool) -> None:
        """Take note of a judgement; the first shows how long steps and judgements take together."""
        if is_best:
            self._best_at = self.done
        if not self._is_timed:
            self._is_timed = True
            self._fit()

    def _fit(self) -> None:
        now_s = time.monotonic()
        left_s, step_s = self._schedule.deadline_s - now_s, (now_s - self._started_s) / self.done
        if step_s * (self.steps - self.done) > left_s:
            self.steps = self.done + max(0, int(_SPARE * left_s / step_s))
            self.is_cut = True
