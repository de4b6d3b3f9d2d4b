"""Optimisation jobs of a device: what was ordered, how far it is, what became of it.

Unknown fields are tolerated here, so that an older console can watch a newer agent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from edgeconsole.protocol.bounds import Count, UnixTime
from edgeconsole.protocol.optimization import Constraints, Objective
from edgeconsole.specs import ModelOptimizationLevel

MIN_BUDGET_S: Final = 10.0
MAX_BUDGET_S: Final = 86_400.0
BudgetSeconds = Annotated[float, msgspec.Meta(ge=MIN_BUDGET_S, le=MAX_BUDGET_S)]
Drop = Annotated[float, msgspec.Meta(ge=0.0, le=1e6)]
"""Points, or per cent of an error; bounded, so that it is finite."""
LimitMs = Annotated[float, msgspec.Meta(gt=0.0, le=1e9)]
LimitBytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
JobId = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Digest = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
"""A bundle's; empty: none."""


class JobState(StrEnum):
    """What a job is doing."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """It has a report; whether anything is recommended, the report says."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Say whether nothing more comes."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobProgress(msgspec.Struct, frozen=True):
    """How far a running job is."""

    stage: str
    name: str
    done: Count
    of: Count
    left_s: float
    """Until the budget is used up; it may end sooner."""


class JobBundle(msgspec.Struct, frozen=True):
    """A bundle that a job put in the device's store."""

    model: str
    version: str
    variant: str
    digest: str

    @property
    def key(self) -> str:
        """Return `model/version/variant`."""
        return f"{self.model}/{self.version}/{self.variant}"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An optimisation job, without its report."""

    job_id: str
    state: JobState
    bundle: JobBundle
    """What is optimised."""
    level: ModelOptimizationLevel
    objective: Objective
    constraints: Constraints
    budget_s: float
    actor: str
    """Who ordered it."""
    command_id: str = ""
    """The id it was ordered with; empty: none."""
    queued_unix_s: UnixTime
    started_unix_s: UnixTime | None = None
    """When it was started last: an agent that was restarted starts it again."""
    ended_unix_s: UnixTime | None = None
    took_s: float | None = None
    """From its last start to its end."""
    starts: Count = 0
    ahead: Count = 0
    """How many jobs come before one that is queued."""
    progress: JobProgress | None = None
    reason: str = ""
    """Why it failed, or who cancelled it."""
    variant: str = ""
    """The recommended variant's name in the report; empty if there is none."""
    recommended: JobBundle | None = None
    """The bundle of that variant."""
    stored: tuple[JobBundle, ...] = ()
    """All bundles it put in the store."""
    serving_p99_ms_before: float | None = None
    """The slowest active model's, over the minute before it started; `None` without traffic."""
    serving_p99_ms_during: float | None = None
    """The highest that was seen while it ran."""
