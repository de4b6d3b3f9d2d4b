"""How a model is served: one `[[models]]` entry of `device.toml`."""

from __future__ import annotations

from typing import Any

from edgeconsole.specs.vocabulary import ModelOptimizationLevel, Spec, check_id


class FailsafeSpec(Spec, frozen=True):
    """`[models.failsafe]`: what may answer in a model's place, and what counts as failing."""

    static_answer: dict[str, Any] = {}
    """By output: one number for all values, or the values of one row; wins over the bundle's."""
    last_good_max_age_ms: float | None = None
    """For how long the last valid answer may be given again; `None`: never."""
    output_range: dict[str, tuple[float, float]] = {}
    """By output: least and largest valid value; what is outside is a failure."""
    collapse_after: int = 20
    """So many samples in a row with one answer to differing inputs are a failure; 0: never."""
    objective_ms: float | None = None
    """p99 above this sheds low priorities; `None`: never."""
    reserve_ms: float | None = None
    """What stays of a deadline when another rung answers; `None`: a tenth, 1 to 10 ms."""
    error_share: float = 0.5
    """From this share of failed requests on the breaker opens."""
    slow_share: float = 0.5
    """Likewise of requests the primary was late for."""
    minimum_calls: int = 10
    """Below this number of requests in 10 s, shares say nothing."""
    shadow_share: float = 0.015
    """Of the requests, how many the fallback runs beside the primary to stay proven."""
    self_test_s: float = 10.0
    """How often a model proves itself with its golden inputs when idle."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        for name in ("last_good_max_age_ms", "objective_ms", "reserve_ms"):
            limit_ms = getattr(self, name)
            if limit_ms is not None and not 0.0 < limit_ms <= 86_400_000.0:
                raise ValueError(f"{name} must be above 0 and at most a day, got {limit_ms}")
        for name, (least, most) in self.output_range.items():
            if not least < most:
                raise ValueError(f"output_range of {name!r} must be [least, most], got no range")
        for name in ("error_share", "slow_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be above 0 and at most 1")
        if not 0.0 <= self.shadow_share <= 0.1:
            raise ValueError(f"shadow_share must be 0 to 0.1, got {self.shadow_share}")
        if not 1 <= self.minimum_calls <= 100:
            raise ValueError(f"minimum_calls must be 1 to 100, got {self.minimum_calls}")
        if self.collapse_after != 0 and not 3 <= self.collapse_after <= 10_000:
            raise ValueError("collapse_after must be 0 (never) or 3 to 10000")
        if not 1.0 <= self.self_test_s <= 3600.0:
            raise ValueError(f"self_test_s must be 1 to 3600, got {self.self_test_s}")


class ModelDeploymentSpec(Spec, frozen=True):
    """One model an agent is to serve, and what is expected of it."""

    model_id: str
    """The name clients call; the bundle's model name."""
    bundle: str | None = None
    """A bundle folder to take in at start, relative to the file; `None`: already in the store."""
    load: bool = True
    """Whether a worker is started for it at once."""
    deadline_ms: float | None = None
    """The deadline of requests that name none; `None`: the agent's latency class."""
    accuracy_baseline: float | None = None
    """The least accuracy the model must keep, 0 to 1."""
    memory_requirement_mb: int | None = None
    """The most memory its worker may use."""
    workers: int | None = None
    """Worker processes; `None`: measured at load, within the cores there are."""
    intra_op_threads: int | None = None
    """Threads inside one inference; `None`: measured at load."""
    max_batch: int = 32
    """The most rows that run together."""
    max_delay_ms: float = 0.0
    """How long a request may wait for company while a worker is idle; 0: never."""
    cache: bool = False
    """Whether answers to inputs that were seen before are reused."""
    fallback_models: tuple[str, ...] = ()
    """Models that may answer in its place, best first."""
    failsafe: FailsafeSpec = FailsafeSpec()
    """What may answer in its place beside models, and what counts as failing."""
    supported_optimizations: tuple[ModelOptimizationLevel, ...] = ()
    """What jobs may do to it; none named: everything."""

    def __post_init__(self) -> None:
        """Refuse names, shares and counts outside their range."""
        check_id("model_id", self.model_id)
        if self.deadline_ms is not None and not self.deadline_ms > 0:
            raise ValueError(f"deadline_ms must be positive, got {self.deadline_ms}")
        if self.accuracy_baseline is not None and not 0.0 <= self.accuracy_baseline <= 1.0:
            raise ValueError(f"accuracy_baseline must be 0 to 1, got {self.accuracy_baseline}")
        if self.memory_requirement_mb is not None and self.memory_requirement_mb < 16:
            raise ValueError("memory_requirement_mb must be at least 16")
        for name in ("workers", "intra_op_threads", "max_batch"):
            count = getattr(self, name)
            if count is not None and not 1 <= count <= 1024:
                raise ValueError(f"{name} must be 1 to 1024, got {count}")
        if not 0.0 <= self.max_delay_ms <= 10_000:
            raise ValueError(f"max_delay_ms must be 0 to 10000, got {self.max_delay_ms}")
        if self.model_id in self.fallback_models:
            raise ValueError(f"{self.model_id!r} cannot be its own fallback")
