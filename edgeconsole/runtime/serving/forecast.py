"""`WaitForecast`: how well expected waits come true, so that what is promised can be kept. Pure.

A queue's wait is expected from the curve, which knows the model but not what else takes its cores
from it. Each request that waited says by how much the expectation was wrong.
"""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.05
"""Weight of a new observation: about the last forty count."""
_DEVIATIONS: Final = 2.0
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

    @property
    def factor(self) -> float:
        """Return it: nearly all waits stay below their expectation times this."""
        return min(max(self._mean + _DEVIATIONS * self._deviation, _LEAST), _MOST)

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
