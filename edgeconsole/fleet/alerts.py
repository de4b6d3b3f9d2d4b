"""What a person should be told of: conditions that hold for a time, and incidents. Pure; no clock, no I/O.

A condition is met, not met, or unknown; what is unknown (a device that is silent has no temperature)
neither begins an alert nor ends one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.store import DeviceView
from edgeconsole.protocol.figures import Counters, counters_of
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.specs import AlertConfig

WINDOW_S: Final = 60.0
"""Shares are of the requests of so long a time."""
LEAST_REQUESTS: Final = 10
"""Fewer requests than this have no share."""


class AlertKind(StrEnum):
    """What is wrong."""

    OFFLINE = "offline"
    HOT = "hot"
    THROTTLED = "throttled"
    LATE = "late"
    ERRORS = "errors"
    DEGRADED = "degraded"
    DISK = "disk"
    BUFFER = "buffer"


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a condition must hold before it is an alert, and be gone before it is none."""

    hold_s: float
    clear_s: float
    severity: Severity


RULES: Final[Mapping[AlertKind, Rule]] = {
    AlertKind.OFFLINE: Rule(5.0, 5.0, Severity.CRITICAL),
    AlertKind.HOT: Rule(10.0, 60.0, Severity.CRITICAL),
    AlertKind.THROTTLED: Rule(10.0, 60.0, Severity.WARNING),
    AlertKind.LATE: Rule(30.0, 60.0, Severity.CRITICAL),
    AlertKind.ERRORS: Rule(30.0, 60.0, Severity.CRITICAL),
    AlertKind.DEGRADED: Rule(30.0, 60.0, Severity.WARNING),
    AlertKind.DISK: Rule(60.0, 60.0, Severity.WARNING),
    AlertKind.BUFFER: Rule(60.0, 60.0, Severity.WARNING),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a condition gave."""

    met: bool | None
    """`None`: unknown."""
    detail: str = ""
    """What was measured against what."""


class Change(msgspec.Struct, frozen=True):
    """An alert that began or ended."""

    device_id: str
    site: str
    kind: AlertKind
    severity: Severity
    firing: bool
    detail: str


@dataclass(slots=True)
class _Standing:
    """One condition of one device."""

    firing: bool = False
    turned_at: float | None = None
    """Since when the condition says the opposite of `firing`."""


@dataclass(slots=True)
class _Device:
    counts: deque[tuple[float, str, int, Counters]] = field(default_factory=deque)
    standings: dict[AlertKind, _Standing] = field(default_factory=dict)


class AlertEvaluator:
    """Looks at devices again and again, and tells what began and what ended."""

    def __init__(self, config: AlertConfig) -> None:
        self._config = config
        self._devices: dict[str, _Device] = {}

    def restore(self, firing: Sequence[tuple[str, AlertKind]]) -> None:
        """Go on with alerts that an earlier console began."""
        for device_id, kind in firing:
            device = self._devices.setdefault(device_id, _Device())
            device.standings[kind] = _Standing(firing=True)

    def look(self, view: DeviceView, now: float) -> list[Change]:
        """Look at one device at a moment of the monotonic clock."""
        device = self._devices.setdefault(view.id, _Device())
        changes: list[Change] = []
        for kind, found in self._findings(view, device, now):
            rule = RULES[kind]
            standing = device.standings.setdefault(kind, _Standing())
            if turned(standing, met=found.met, rule=rule, now=now):
                changes.append(
                    Change(view.id, view.site, kind, rule.severity, standing.firing, found.detail)
                )
        return changes

    def _findings(
        self, view: DeviceView, device: _Device, now: float
    ) -> Iterator[tuple[AlertKind, Finding]]:
        yield AlertKind.OFFLINE, _offline(view)
        live = view.freshness is Freshness.LIVE and view.sample is not None
        if not live:
            device.counts.clear()
            return
        yield AlertKind.HOT, _hot(view)
        yield AlertKind.THROTTLED, _throttled(view)
        yield AlertKind.LATE, _late(view)
        yield from self._shares(view, device, now)
        yield AlertKind.DISK, self._disk(view)
        yield AlertKind.BUFFER, self._buffer(view)

    def _shares(
        self, view: DeviceView, device: _Device, now: float
    ) -> Iterator[tuple[AlertKind, Finding]]:
        assert view.sample is not None
        counts, sample = device.counts, view.sample
        if counts and counts[-1][1] != sample.boot_id:
            counts.clear()
        if not counts or counts[-1][2] != sample.seq:
            counts.append((now, sample.boot_id, sample.seq, counters_of(sample)))
        while len(counts) > 2 and now - counts[1][0] >= WINDOW_S:
            counts.popleft()
        first, last = counts[0][3], counts[-1][3]
        requests = last.requests - first.requests
        degraded = last.degraded - first.degraded
        failed = last.failed - first.failed
        answered = last.answered - first.answered + degraded
        yield AlertKind.ERRORS, _share("failed", failed, requests, self._config.error_share)
        yield (
            AlertKind.DEGRADED,
            _share("degraded", degraded, answered, self._config.degraded_share),
        )

    def _disk(self, view: DeviceView) -> Finding:
        backlog = view.sample.backlog if view.sample else None
        if backlog is None or not backlog.disk_total_bytes or backlog.disk_free_bytes is None:
            return Finding(None)
        share = backlog.disk_free_bytes / backlog.disk_total_bytes
        limit = self._config.disk_free_share
        return Finding(share < limit, f"{share:.1%} of the disk is free, limit {limit:.1%}")

    def _buffer(self, view: DeviceView) -> Finding:
        backlog = view.sample.backlog if view.sample else None
        if backlog is None:
            return Finding(None)
        if backlog.problem:
            return Finding(True, f"telemetry is not kept: {backlog.problem}")
        share, limit = backlog.used_bytes / max(1, backlog.budget_bytes), self._config.buffer_share
        return Finding(share >= limit, f"the backlog is {share:.0%} full, limit {limit:.0%}")


def turned(standing: _Standing, *, met: bool | None, rule: Rule, now: float) -> bool:
    """Note one look; says whether the alert began or ended with it."""
    if met is None:
        return False
    if met is standing.firing:
        standing.turned_at = None
        return False
    if standing.turned_at is None:
        standing.turned_at = now
    if now - standing.turned_at < (rule.hold_s if met else rule.clear_s):
        return False
    standing.firing, standing.turned_at = met, None
    return True


def _offline(view: DeviceView) -> Finding:
    if view.freshness is Freshness.NEVER:
        # It may never have been there; that is for the screen, not for the pager.
        return Finding(None)
    gone = view.freshness is Freshness.GONE
    return Finding(gone, view.link_reason or ("silent" if gone else "heard again"))


def _hot(view: DeviceView) -> Finding:
    temp_c = view.sample.temp_c.value if view.sample else None
    if temp_c is None:
        return Finding(None)
    return Finding(temp_c >= view.max_temp_c, f"{temp_c:.0f} °C, limit {view.max_temp_c:.0f} °C")


def _throttled(view: DeviceView) -> Finding:
    routes = view.sample.routes if view.sample else ()
    held = [each for each in routes if each.cause in ("hot", "warm") and each.rung != Rung.PRIMARY]
    if not held:
        return Finding(False, "as fast as it can")
    return Finding(
        True, f"{held[0].model} is on {held[0].rung.value}, because it is {held[0].cause}"
    )


def _late(view: DeviceView) -> Finding:
    if view.budget is None or view.active is None:
        return Finding(None)
    return Finding(view.budget > 1.0, f"p99 is {view.budget:.0%} of the deadline")


def _share(what: str, part: int, whole: int, limit: float) -> Finding:
    if whole < LEAST_REQUESTS:
        return Finding(None)
    share = max(0, part) / whole
    return Finding(share >= limit, f"{share:.1%} of {whole} requests {what}, limit {limit:.1%}")
