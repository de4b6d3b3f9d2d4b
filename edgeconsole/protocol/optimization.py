"""What an optimisation is asked for and what it found; the report is the JSON that people see.

Times are milliseconds, sizes bytes, speed-ups ratios to the baseline in the same run (2.0: half the
time). A drop is positive when a variant is worse: in points (hundredths) for metrics between 0 and 1,
in per cent of the baseline's value for errors without an upper bound. `None` is unknown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from edgeconsole.specs import ModelOptimizationLevel

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Interval = tuple[float, float]
"""The 95 % interval: low, high."""

AGREEMENT: Final = "agreement"
"""The metric where no labels are: how often a variant answers as the original does."""
CLOSENESS: Final = "closeness"
"""The same where an answer is no choice, such as an embedding: 1 − the relative error of its values."""
UNLABELLED: Final = (AGREEMENT, CLOSENESS)


class Objective(StrEnum):
    """What the pick makes small among the variants that meet the constraints."""

    P50 = "p50"
    P99 = "p99"
    SIZE = "size"
    MEMORY = "memory"
    ENERGY = "energy"


class VariantStatus(StrEnum):
    """What became of a variant."""

    OK = "ok"
    """It meets all constraints."""
    EXCLUDED = "excluded"
    """It works, and a constraint rules it out."""
    FAILED = "failed"
    """It could not be built, or gives no right answers."""
    SKIPPED = "skipped"
    """It was not tried."""


class Constraints(msgspec.Struct, frozen=True, kw_only=True):
    """What a variant must keep to."""

    max_drop: float = 1.0
    max_p99_ms: float | None = None
    max_memory_bytes: int | None = None
    max_size_bytes: int | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run the model: built, proven, measured and judged, as far as it came."""

    name: str
    technique: str
    engine: str
    threads: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    """`None` with fewer runs than such a percentile needs."""
    ci: Interval | None = None
    """Of the speed-up."""
    speedup: float | None = None
    size_bytes: int | None = None
    peak_rss_bytes: int | None = None
    """The measuring process's own high-water mark."""
    load_ms: float | None = None
    energy_mj: float | None = None
    """An inference's energy in millijoules; known only where power is measured."""
    metric: str = ""
    metric_value: float | None = None
    drop: float | None = None
    drop_ci: Interval | None = None
    agreement: Share | None = None
    """How often it answers as the original does, or how close to it."""
    pareto: bool = False
    status: VariantStatus = VariantStatus.OK
    reason: str = ""
    digest: str = ""
    """The bundle's; empty if none was built."""
    note: str = ""
    """How it was built, such as how many nodes were quantised."""


class MeasuredOn(msgspec.Struct, frozen=True, kw_only=True):
    """Where an optimisation was measured."""

    fingerprint: str
    """The same for devices of one class: processor, flags, cores, quota, engine versions."""
    cpu: str
    cores: int
    machine: str
    engines: dict[str, str]
    """Versions by name."""
    temp_c_before: float | None = None
    temp_c_after: float | None = None


class OptimizationReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that was tried, and what is recommended."""

    model: str
    version: str
    level: ModelOptimizationLevel
    objective: Objective
    constraints: Constraints
    baseline: Variant
    variants: tuple[Variant, ...]
    recommended: str | None
    fallback: str | None = None
    """A smaller variant that also meets the constraints: fit for the fallback rung."""
    why: tuple[str, ...]
    device: MeasuredOn
    evaluation: str
    """What accuracy was measured on, such as "evaluation, 900 rows"."""
    cache: str = "miss"
    took_s: float = 0.0
