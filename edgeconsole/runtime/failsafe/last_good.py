"""The rung `last_good`: a model's latest valid answer, while it is young enough. Opt-in per model.

Memory is bounded: one answer a model, none above `MAX_BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.tensors import Array

MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Kept:
    outputs: list[tuple[str, Array]]
    rows: int
    at_s: float


class LastGood:
    """Keeps one answer; `max_age_ms` is `None` where old answers are not allowed."""

    def __init__(self, max_age_ms: float | None, output_count: int) -> None:
        self.max_age_ms = max_age_ms
        self._output_count = output_count
        self._kept: _Kept | None = None

    def keep(self, outputs: list[tuple[str, Array]], rows: int, now_s: float) -> None:
        """Keep a copy of a full answer in place of the one before."""
        if self.max_age_ms is None or len(outputs) != self._output_count:
            return
        if sum(array.nbytes for _, array in outputs) > MAX_BYTES:
            return
        self._kept = _Kept([(name, array.copy()) for name, array in outputs], rows, now_s)

    def forget(self) -> None:
        """Drop what is kept: another bundle answers now."""
        self._kept = None

    def age_ms(self, now_s: float) -> float | None:
        """Return how old the kept answer is; `None` if there is none."""
        return None if self._kept is None else (now_s - self._kept.at_s) * 1e3

    def outputs(
        self, rows: int, wanted: tuple[str, ...], now_s: float
    ) -> tuple[list[tuple[str, Array]], float] | None:
        """Return the kept answer and its age in ms, if it is young enough and fits the request."""
        kept, age_ms = self._kept, self.age_ms(now_s)
        if kept is None or age_ms is None or self.max_age_ms is None or kept.rows != rows:
            return None
        if age_ms > self.max_age_ms:
            return None
        return [each for each in kept.outputs if not wanted or each[0] in wanted], age_ms
