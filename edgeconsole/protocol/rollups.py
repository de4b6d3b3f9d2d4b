"""A minute or an hour of a device in one row, and how samples are folded into it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from edgeconsole.protocol.bounds import Count
from edgeconsole.protocol.figures import Figures

MINUTE_S: Final = 60
HOUR_S: Final = 3600


class Rollup(msgspec.Struct, frozen=True, gc=False):
    """What a device did between two moments.

    Means are over the samples that had a value, highs are the highest of them, `None` if there was
    none. Counts are what was added in this time, told by the counters of the samples.
    """

    samples: Count
    deadline_ms: float | None = None
    """The shortest."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p99_high_ms: float | None = None
    rate_per_s: float | None = None
    rate_high_per_s: float | None = None
    temp_c: float | None = None
    temp_high_c: float | None = None
    power_w: float | None = None
    power_high_w: float | None = None
    cpu_percent: float | None = None
    cpu_high_percent: float | None = None
    memory_percent: float | None = None
    memory_high_percent: float | None = None
    requests: Count = 0
    answered: Count = 0
    refused: Count = 0
    failed: Count = 0
    late: Count = 0
    degraded: Count = 0


_COUNTED: Final = ("requests", "answered", "refused", "failed", "late", "degraded")
_TOTALS: Final = tuple(f"{name}_total" for name in _COUNTED)
_MEANS: Final = (
    ("p50_ms", ""),
    ("p95_ms", ""),
    ("p99_ms", "p99_high_ms"),
    ("rate_per_s", "rate_high_per_s"),
    ("temp_c", "temp_high_c"),
    ("power_w", "power_high_w"),
    ("cpu_percent", "cpu_high_percent"),
    ("memory_percent", "memory_high_percent"),
)


def fold(samples: Iterable[Figures], before: Figures | None = None) -> Rollup:
    """Fold samples of one start of the agent, oldest first, into a row.

    `before` is the last sample ahead of them: what was counted since then belongs to this row.
    """
    kept = list(samples)
    counted: dict[str, int] = dict.fromkeys(_COUNTED, 0)
    latest = before
    for sample in kept:
        if latest is not None:
            for name, total in zip(_COUNTED, _TOTALS, strict=True):
                # A model that was unloaded takes its counts with it.
                counted[name] += max(0, getattr(sample, total) - getattr(latest, total))
        latest = sample
    deadlines = (each.deadline_ms for each in kept if each.deadline_ms)
    row = Rollup(samples=len(kept), deadline_ms=min(deadlines, default=None), **counted)
    return msgspec.structs.replace(row, **_levels(kept))


def _levels(kept: list[Figures]) -> dict[str, float | None]:
    levels: dict[str, float | None] = {}
    for name, high in _MEANS:
        values = [value for each in kept if (value := getattr(each, name)) is not None]
        levels[name] = round(sum(values) / len(values), 3) if values else None
        if high:
            levels[high] = max(values, default=None)
    return levels


def merge(rows: Iterable[Rollup]) -> Rollup:
    """Join rows of one device into a longer one; means are weighted by the number of samples."""
    kept = [row for row in rows if row.samples]
    merged: dict[str, float | None] = {}
    for name, high in _MEANS:
        known = [(value, row.samples) for row in kept if (value := getattr(row, name)) is not None]
        weight = sum(samples for _, samples in known)
        merged[name] = (
            round(sum(value * samples for value, samples in known) / weight, 3) if weight else None
        )
        if high:
            merged[high] = max(
                (value for row in kept if (value := getattr(row, high)) is not None), default=None
            )
    deadlines = (row.deadline_ms for row in kept if row.deadline_ms)
    counted: dict[str, int] = {name: sum(getattr(row, name) for row in kept) for name in _COUNTED}
    whole = Rollup(sum(row.samples for row in kept), min(deadlines, default=None))
    return msgspec.structs.replace(whole, **counted, **merged)
