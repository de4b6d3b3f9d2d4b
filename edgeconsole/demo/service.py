"""The demo as the console sees it: a fleet service that brings its own agents and traffic."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from edgeconsole.demo.fleet import DEVICES, DemoFleet
from edgeconsole.demo.traffic import DemoTraffic, Score
from edgeconsole.fleet.job_desk import JobDesk
from edgeconsole.fleet.model_desk import ModelDesk
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import FleetStore
from edgeconsole.specs import AgentState

_SERVING: Final = (AgentState.READY, AgentState.PROCESSING)
_POLL_S: Final = 0.1


class DeviceReport(msgspec.Struct, frozen=True):
    """What was measured of one device; latencies are the client's round trips."""

    id: str
    state: str | None
    model: str | None
    variant: str | None
    requests: int
    """Those that were answered; the others are in the report's `errors`."""
    correct: int
    accuracy: float | None
    """Of the images that were answered; `None` without answers."""
    p50_ms: float | None
    p99_ms: float | None


class DemoReport(msgspec.Struct, frozen=True):
    """What `edgeconsole demo --json` prints."""

    devices: tuple[DeviceReport, ...]
    history_rows: int
    history_path: str
    errors: int

    @property
    def all_answered(self) -> bool:
        """Say whether every device answered at least once."""
        return all(device.accuracy is not None for device in self.devices)


class DemoService:
    """Agents, traffic, links and history, started and stopped as one."""

    def __init__(self, fleet: DemoFleet) -> None:
        self._fleet = fleet
        self.service = FleetService(fleet.inventory)
        self.scores: dict[str, Score] = {}
        self._traffic: list[asyncio.Task[None]] = []
        self._history_rows = 0
        self._states: dict[str, str] = {}

    @property
    def store(self) -> FleetStore:
        """Return the live picture of the fleet."""
        return self.service.store

    @property
    def problem(self) -> str:
        """Return what keeps the history or orders from working."""
        return self.service.problem

    @property
    def desk(self) -> FleetService:
        """Return who takes orders to the demo's devices."""
        return self.service

    @property
    def jobs(self) -> JobDesk:
        """Return who knows the optimisation jobs of the demo's devices."""
        return self.service.jobs

    @property
    def models(self) -> ModelDesk:
        """Return who knows the models of the demo's devices."""
        return self.service.models

    async def start(self) -> None:
        """Start the agents, follow them, and send them images; raises as their parts do."""
        try:
            await self._fleet.start()
            await self.service.start()
        except BaseException:
            await self.stop()
            raise
        inventory = self._fleet.inventory
        for seed, (demo, device) in enumerate(zip(DEVICES, inventory.spec.devices, strict=True)):
            traffic = DemoTraffic(device.url, inventory.token(device), demo.rate_per_s, seed=seed)
            self.scores[device.id] = traffic.score
            self._traffic.append(
                asyncio.create_task(self._ask(device.id, traffic), name=f"traffic {device.id}")
            )

    async def _ask(self, device_id: str, traffic: DemoTraffic) -> None:
        """Send images from when the device has its models."""
        while True:
            view = self.store.device(device_id)
            if view is not None and view.sample is not None and view.sample.state in _SERVING:
                break
            await asyncio.sleep(_POLL_S)
        await traffic.run()

    async def stop(self) -> None:
        """End the traffic, the links and the agents; nothing is left running."""
        for task in self._traffic:
            task.cancel()
        await asyncio.gather(*self._traffic, return_exceptions=True)
        self._traffic = []
        self._states = {
            view.id: view.sample.state.value for view in self.store.devices() if view.sample
        }
        if self.service.history.is_open:
            await self.service.history.flush()
            self._history_rows = await self.service.history.rows()
        await self.service.stop()
        await self._fleet.stop()

    def report(self) -> DemoReport:
        """Return what was measured, once the service has stopped."""
        devices = [
            _device_report(device_id, self._states.get(device_id), self.scores.get(device_id))
            for device_id in self.store.ids()
        ]
        return DemoReport(
            devices=tuple(devices),
            history_rows=self._history_rows,
            history_path=str(self.service.history.path),
            errors=sum(score.errors for score in self.scores.values()),
        )


def _device_report(device_id: str, state: str | None, score: Score | None) -> DeviceReport:
    score = score or Score()
    return DeviceReport(
        id=device_id,
        state=state,
        model=score.model or None,
        variant=score.variant or None,
        requests=score.answered,
        correct=score.correct,
        accuracy=score.accuracy,
        p50_ms=score.percentile_ms(50),
        p99_ms=score.percentile_ms(99),
    )
