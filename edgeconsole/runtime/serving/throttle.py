"""The governed rate at the engine's door: a token bucket, and a refusal that says when to come again.

It is asked only while a rate is governed; otherwise the engine has none.
"""

from __future__ import annotations

from typing import Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import PriorityClass

_BURST_S: Final = 0.25
"""So much of a second's rate may come at once."""
_OVERDRAFT: Final = 1.0
"""Urgent requests may go before, by a burst: what they take, the others wait for."""


class Throttle:
    """Lets so many requests a second through. Times are monotonic seconds."""

    def __init__(self, rate_per_s: float, reason: str, now_s: float) -> None:
        self.refused_total = 0
        self._rate_per_s = rate_per_s
        self._reason = reason
        self._tokens = self._burst
        self._filled_s = now_s

    def set(self, rate_per_s: float, reason: str, now_s: float) -> None:
        """Govern another rate from now on; what is in the bucket stays."""
        self._fill(now_s)
        self._rate_per_s = rate_per_s
        self._reason = reason
        self._tokens = min(self._tokens, self._burst)

    def take(self, priority: int, now_s: float) -> None:
        """Let a request through.

        Raises `RequestError` with code `THROTTLED` and the time until there is room.
        """
        self._fill(now_s)
        urgent = PriorityClass.of(priority) is PriorityClass.HIGH
        needed = 1.0 - (_OVERDRAFT * self._burst if urgent else 0.0)
        if self._tokens >= needed:
            self._tokens -= 1.0
            return
        self.refused_total += 1
        raise RequestError(
            ErrorCode.THROTTLED,
            f"the device answers {self._rate_per_s:.3g} requests a second: {self._reason}",
            hint="send to another device, or again after the estimated wait",
            estimated_wait_ms=(needed - self._tokens) / self._rate_per_s * 1e3,
        )

    @property
    def _burst(self) -> float:
        return max(1.0, _BURST_S * self._rate_per_s)

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._filled_s)
        self._filled_s = now_s
        self._tokens = min(self._burst, self._tokens + passed_s * self._rate_per_s)
