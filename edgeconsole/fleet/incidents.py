"""Alerts that belong together: of one kind, on several devices, begun within a minute. Pure.

A person is told of an incident once, when its first devices had the time to show, and once when the last
of them is well again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from edgeconsole.fleet.alerts import AlertKind, Change
from edgeconsole.protocol.telemetry import Severity

JOIN_S: Final = 60.0
"""An alert that begins so long after the latest of an incident is another incident."""
GATHER_S: Final = 10.0
"""So long is waited for more devices before anybody is told."""
_NAMED: Final = 5


class Incident(msgspec.Struct, frozen=True):
    """What a person is told."""

    incident: int
    kind: AlertKind
    severity: Severity
    over: bool
    devices: tuple[str, ...]
    sites: tuple[str, ...]
    since_unix_s: float
    text: str


@dataclass(slots=True)
class _Open:
    number: int
    kind: AlertKind
    severity: Severity
    began_at: float
    since_unix_s: float
    latest_at: float
    firing: dict[str, str]
    """The devices that are not well yet, and their sites."""
    details: dict[str, str] = field(default_factory=dict)
    sites: set[str] = field(default_factory=set)
    told: bool = False


class Incidents:
    """Groups changes; ask for what is to be told after each look."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._number = 0

    def take(self, changes: Iterable[Change], now: float, now_unix_s: float) -> dict[Change, int]:
        """Sort changes into incidents; returns the number of each one's incident."""
        placed: dict[Change, int] = {}
        for change in changes:
            incident = self._for(change, now, now_unix_s)
            if incident is None:
                continue
            placed[change] = incident.number
            if change.firing:
                incident.firing[change.device_id] = change.site
                incident.details[change.device_id] = change.detail
                incident.sites.add(change.site)
                incident.latest_at = now
            else:
                incident.firing.pop(change.device_id, None)
        return placed

    def _for(self, change: Change, now: float, now_unix_s: float) -> _Open | None:
        same = [each for each in self._open if each.kind is change.kind]
        if not change.firing:
            return next((each for each in same if change.device_id in each.firing), None)
        for each in same:
            if now - each.latest_at <= JOIN_S:
                return each
        self._number += 1
        begun = _Open(
            number=self._number,
            kind=change.kind,
            severity=change.severity,
            began_at=now,
            since_unix_s=now_unix_s,
            latest_at=now,
            firing={},
        )
        self._open.append(begun)
        return begun

    def due(self, now: float) -> list[Incident]:
        """Return what a person is to be told now."""
        told: list[Incident] = []
        for each in list(self._open):
            if not each.firing:
                self._open.remove(each)
                if each.told:
                    told.append(_said(each, over=True))
            elif not each.told and now - each.began_at >= GATHER_S:
                each.told = True
                told.append(_said(each, over=False))
        return told


def _said(incident: _Open, *, over: bool) -> Incident:
    devices = tuple(sorted(incident.details))
    sites = tuple(sorted(site for site in incident.sites if site))
    names = ", ".join(devices[:_NAMED]) + (" …" if len(devices) > _NAMED else "")
    where = f" at {sites[0]}" if len(sites) == 1 and len(devices) > 1 else ""
    many = f"{len(devices)} devices{where}: {names}" if len(devices) > 1 else devices[0]
    what = "is over" if over else incident.details[devices[0]]
    return Incident(
        incident=incident.number,
        kind=incident.kind,
        severity=incident.severity,
        over=over,
        devices=devices,
        sites=sites,
        since_unix_s=incident.since_unix_s,
        text=f"{incident.kind.value}: {many}: {what}",
    )
