"""The models of a whole fleet: what devices have in their stores, and what jobs measured of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from edgeconsole.fleet import jobs, models
from edgeconsole.fleet.asking import Question
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.findings import Findings, FindingsDesk
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.control import StoredModel


class DeviceModels(msgspec.Struct, frozen=True):
    """What one device said of its models, and when."""

    device_id: str
    models: tuple[StoredModel, ...] = ()
    findings: tuple[Findings, ...] = ()
    """What its jobs found, the newest first."""
    heard_unix_s: float | None = None
    """By our clock; `None`: it never said."""
    note: str = ""
    """Why it did not say so just now; empty: it did."""


class ModelDesk:
    """Asks devices for their models over the links that are open."""

    def __init__(
        self,
        links: OpenLinks,
        store: FleetStore,
        findings: FindingsDesk,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._findings = findings
        self._wall_clock = wall_clock
        self._question = Question(links, store, DeviceModels, self._ask)

    async def look(self, device_ids: Sequence[str]) -> list[DeviceModels]:
        """Ask devices at once; of one that does not answer, return what it said last and why."""
        return await self._question.ask(device_ids)

    async def _ask(self, device_id: str, link: ControlLink) -> DeviceModels:
        stored = await models.stored(link)
        findings = await self._findings.of(device_id, link, await jobs.list_jobs(link))
        return DeviceModels(device_id, stored, tuple(findings), self._wall_clock())
