"""`ServingWitness`: what a job does to those who are served meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edgeconsole.protocol.telemetry import ModelSample


class ServingWitness:
    """Watches the slowest active model's p99, which is over a minute each time; milliseconds."""

    def __init__(self, samples: Callable[[], Iterable[ModelSample]]) -> None:
        """Look for the first time, before anything starts."""
        self._samples = samples
        self.before_ms = self._worst_ms()
        self.during_ms: float | None = None

    def look(self) -> None:
        """Look again while the job runs."""
        now_ms = self._worst_ms()
        if now_ms is not None:
            self.during_ms = max(now_ms, self.during_ms or 0.0)

    def _worst_ms(self) -> float | None:
        known = (each.p99_ms for each in self._samples() if each.active)
        return max((each for each in known if each is not None), default=None)
