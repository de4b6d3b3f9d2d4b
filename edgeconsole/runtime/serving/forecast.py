"""`WaitForecast`: how well expected waits come true, so that what is promised can be kept. Pure.

A queue's wait is expected from the curve, which knows the model but not what else takes its cores
from it. Each request that waited says by how much the expectation was wrong. Where promises are
broken all the same, less is promised for a while: an overloaded model answers as many, only sooner.
"""

from __future__ import annotations

import math
from typing import Final

_WEIGHT: Final = 0.05
"""Weight of a new observation: about the last forty count."""
_DEVIATIONS: Final = 2.0
_CAUTION: Final = 0.3
"""Added for a broken promise."""
_CAUTION_HALVES_S: Final = 5.0
_ONE_TROUBLE_S: Final = 0.1
"""What is broken within this time has one cause."""
_LEAST: Final = 1.1
_MOST: Final = 3.0
_START: Final = 1.25
_SHORT_MS: Final = 2.0
"""Shorter waits are timer and scheduling noise, and say nothing of longer ones."""


class WaitForecast:
    """The factor that expected waits are multiplied with before they are promised."""

    def __init__(self) -> None:
        self._mean = _START
        self._deviation = 0.0
        self._caution = 0.0
        self._broken_s = float("-inf")

    def factor(self, now_s: float) -> float:
        """Return it: nearly all waits stay below their expectation times this."""
        factor = max(self._mean + _DEVIATIONS * self._deviation, _LEAST)
        return min(factor + self._caution_at(now_s), _MOST)

    def _caution_at(self, now_s: float) -> float:
        if not self._caution:
            return 0.0
        return self._caution * math.exp2((self._broken_s - now_s) / _CAUTION_HALVES_S)

    def observe(self, expected_ms: float, waited_ms: float) -> None:
        """Take in a wait that came to its end."""
        if expected_ms < _SHORT_MS:
            return
        ratio = min(waited_ms / expected_ms, _MOST)
        error = ratio - self._mean
        self._mean += _WEIGHT * error
        self._deviation += _WEIGHT * (abs(error) - self._deviation)

    def missed(self, expected_ms: float, waited_ms: float) -> None:
        """Take in a request that was given up while it waited: its wait would have been longer."""
        if waited_ms > expected_ms * self._mean:
            self.observe(expected_ms, waited_ms)

    def broken(self, now_s: float) -> None:
        """Take in that a request which was promised an answer did not get it in time."""
        if now_s - self._broken_s >= _ONE_TROUBLE_S:
            self._caution = min(self._caution_at(now_s) + _CAUTION, _MOST)
            self._broken_s = now_s
