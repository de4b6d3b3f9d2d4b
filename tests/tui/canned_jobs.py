"""Canned optimisation jobs for tests and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from edgeconsole.errors import ErrorCode, LinkError, RequestError
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.protocol.jobs import Job, JobBundle, JobProgress, JobState
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.specs import ModelOptimizationLevel

NOON: Final = 1_782_916_000.0
BUNDLE: Final = JobBundle("yolo-n", "1.2.0", "fp32", "a" * 64)
BEST: Final = JobBundle("yolo-n", "1.2.0", "int8-static", "b" * 64)
MIB: Final = 2**20


def job(job_id: str, state: JobState, **changes: object) -> Job:
    """Return a job."""
    made = Job(
        job_id=job_id,
        state=state,
        bundle=BUNDLE,
        level=ModelOptimizationLevel.FULL_OPTIMIZATION,
        objective=Objective.P99,
        constraints=Constraints(max_drop=0.5, max_p99_ms=20.0),
        budget_s=600.0,
        actor="kim@desk",
        queued_unix_s=NOON,
    )
    return msgspec.structs.replace(made, **changes)


RUNNING: Final = job(
    "job-5",
    JobState.RUNNING,
    progress=JobProgress("measure", "int8-static-per-channel", 3, 12, 272.0),
    starts=1,
)
QUEUED: Final = job("job-6", JobState.QUEUED, ahead=1)
DONE: Final = job(
    "job-3",
    JobState.DONE,
    took_s=244.0,
    ended_unix_s=NOON + 244,
    variant="int8-static",
    recommended=BEST,
    stored=(BEST,),
)
FAILED: Final = job(
    "job-2", JobState.FAILED, took_s=12.0, reason="the bundle has no evaluation data"
)
NOTHING: Final = job("job-1", JobState.DONE, took_s=95.0)


def variant(name: str, speedup: float | None, **changes: object) -> Variant:
    """Return a variant that was measured if it has a speed-up."""
    made = Variant(name=name, technique="quantization", engine="onnxruntime", threads=1)
    if speedup is not None:
        made = msgspec.structs.replace(
            made,
            p50_ms=12.0 / speedup,
            p99_ms=19.2 / speedup,
            speedup=speedup,
            size_bytes=round(12 * MIB / speedup),
            peak_rss_bytes=187 * MIB,
            metric="accuracy",
            metric_value=0.912,
            drop=0.1 * speedup,
        )
    return msgspec.structs.replace(made, **changes)


REPORT: Final = OptimizationReport(
    model="yolo-n",
    version="1.2.0",
    level=ModelOptimizationLevel.FULL_OPTIMIZATION,
    objective=Objective.P99,
    constraints=Constraints(max_drop=0.5, max_p99_ms=20.0),
    baseline=variant("original", 1.0, drop=0.0),
    variants=(
        variant("fused", 1.3, pareto=True),
        variant("int8-static", 2.6, pareto=True),
        variant("int8-dynamic", 3.1, drop=2.25, pareto=True, status=VariantStatus.EXCLUDED,
                reason="drop 2.25 > 0.5"),
        variant("pruned-50", None, status=VariantStatus.SKIPPED, reason="needs torch"),
        variant("fp16", None, status=VariantStatus.FAILED, reason="golden inputs: nan"),
    ),
    recommended="int8-static",
    why=(
        "int8-static: the smallest p99 among the two variants that keep to all constraints.",
        "int8-dynamic is faster and loses 2.25 points, which is more than 0.5.",
    ),
    device=MeasuredOn(
        fingerprint="c" * 8, cpu="Cortex-A78AE", cores=6, machine="aarch64", engines={}
    ),
    evaluation="evaluation, 900 rows",
)  # fmt: skip


def said() -> list[DeviceJobs]:
    """Return jobs in every state, of before, and of a device that never said."""
    return [
        DeviceJobs("dock-0188", (RUNNING, QUEUED, DONE, FAILED, NOTHING), {"job-3": 2.6}, NOON + 9),
        DeviceJobs("gate-0020", (DONE,), {"job-3": 2.6}, NOON - 60, "no answer to ping"),
        DeviceJobs("cam-05", note="connection refused"),
    ]


@dataclass
class CannedJobs:
    """Answers as told."""

    said: list[DeviceJobs] = field(default_factory=said)
    broken: str = ""
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def look(self, device_ids: Sequence[str]) -> list[DeviceJobs]:
        """Return what is told of these devices."""
        self.asked.append(tuple(device_ids))
        return [each for each in self.said if each.device_id in device_ids]

    async def report(self, device_id: str, job_id: str) -> tuple[Job, OptimizationReport | None]:
        """Return the job, with the report if it is done."""
        if self.broken:
            raise LinkError(self.broken)
        for each in self.said:
            for found in each.jobs:
                if (each.device_id, found.job_id) == (device_id, job_id):
                    return found, REPORT if found.state is JobState.DONE else None
        raise RequestError(ErrorCode.UNKNOWN_JOB, f"no job {job_id}")
