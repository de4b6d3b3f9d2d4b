"""What the console needs from the rest: a store that somebody keeps filled, and who takes orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.fleet.order_book import AuditRow
from edgeconsole.fleet.orders import Intent, Standing
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport


class OrderDesk(Protocol):
    """Takes orders to devices and knows what became of them; all methods raise `StoreError`."""

    async def order(self, intent: Intent, device_ids: Sequence[str]) -> None:
        """Write an intent down for some devices, and send it to those that can be reached."""
        ...

    async def standings(self, command_id: str) -> list[Standing]:
        """Return how far the orders of one intent have come."""
        ...

    async def audit(self, limit: int = 200) -> list[AuditRow]:
        """Return the latest rows of the audit, newest first."""
        ...

    async def explain(self, device_id: str) -> Explanation:
        """Return why a device answers as it does."""
        ...


class FleetJobs(Protocol):
    """Knows the fleet's optimisation jobs."""

    async def look(self, device_ids: Sequence[str]) -> list[DeviceJobs]:
        """Ask devices; what one said before stands in where it does not answer."""
        ...

    async def report(self, device_id: str, job_id: str) -> tuple[Job, OptimizationReport | None]:
        """Return a job and its report, if it has one; raises an `EdgeConsoleError`."""
        ...


class FleetModels(Protocol):
    """Knows the models in the devices' stores."""

    async def look(self, device_ids: Sequence[str]) -> list[DeviceModels]:
        """Ask devices; what one said before stands in where it does not answer."""
        ...


class ConsoleService(Protocol):
    """Keeps a store up to date while the console runs, on the console's own event loop."""

    @property
    def store(self) -> FleetStore:
        """The store the screens read."""
        ...

    @property
    def problem(self) -> str:
        """What a person should know that it cannot do at the moment; empty: nothing."""
        ...

    @property
    def desk(self) -> OrderDesk:
        """Who takes orders."""
        ...

    @property
    def jobs(self) -> FleetJobs:
        """Who knows the optimisation jobs."""
        ...

    @property
    def models(self) -> FleetModels:
        """Who knows the models."""
        ...

    async def start(self) -> None:
        """Start links and history and return; raises an `EdgeConsoleError` if it cannot."""
        ...

    async def stop(self) -> None:
        """End everything `start` began."""
        ...
