"""What finished jobs found, by bundle: asked of each device once, for it does not change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edgeconsole.errors import RequestError
from edgeconsole.fleet import jobs
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.protocol.optimization import OptimizationReport, Variant

MOST: Final = 1024
"""Overflow rule: what was asked for longest ago is forgotten, and asked again."""


class Measured(msgspec.Struct, frozen=True):
    """What a job measured of a bundle; `None` is unknown."""

    p99_ms: float | None
    speedup: float | None
    metric: str
    metric_value: float | None
    drop: float | None
    recommended: bool


class Findings(msgspec.Struct, frozen=True):
    """What one job found."""

    job_id: str
    model: str
    ended_unix_s: float
    speedup: float | None
    """Of what it recommends, against the baseline."""
    measured: dict[str, Measured]
    """By the bundle's digest."""


class FindingsDesk:
    """Asks for reports, and keeps of each what tables show."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, float | None], Findings] = {}

    async def of(self, device_id: str, link: ControlLink, found: Sequence[Job]) -> list[Findings]:
        """Return what the jobs of a device found; raises `LinkError` or `ProtocolError`."""
        findings: list[Findings] = []
        for job in found:
            if job.state is not JobState.DONE:
                continue
            key = (device_id, job.job_id, job.ended_unix_s)
            if key not in self._kept:
                try:
                    _, report = await jobs.fetch_report(link, job.job_id)
                except RequestError:
                    continue  # It is lost on the device: nothing is known of it.
                while len(self._kept) >= MOST:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = _findings(job, report)
            findings.append(self._kept[key])
        return findings


def _findings(job: Job, report: OptimizationReport) -> Findings:
    best = next((each for each in report.variants if each.name == report.recommended), None)
    return Findings(
        job_id=job.job_id,
        model=job.bundle.model,
        ended_unix_s=job.ended_unix_s or 0.0,
        speedup=None if best is None else best.speedup,
        measured={each.digest: _measured(each, report) for each in report.variants if each.digest},
    )


def _measured(each: Variant, report: OptimizationReport) -> Measured:
    return Measured(
        p99_ms=each.p99_ms,
        speedup=each.speedup,
        metric=each.metric,
        metric_value=each.metric_value,
        drop=each.drop,
        recommended=each.name == report.recommended,
    )
