"""The whole operator's side at work: links, live store and history, started and stopped as one."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from types import TracebackType
from typing import Final, Self

from edgeconsole.fleet.history import History
from edgeconsole.fleet.inventory import Inventory
from edgeconsole.fleet.links import DeviceLink
from edgeconsole.fleet.store import HISTORY_SAMPLES, FleetStore

_EVENTS_TO_RECALL: Final = 50


class FleetService:
    """Follows a fleet. `start` and `stop` run on the loop of whoever shows it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.store = FleetStore(inventory.spec)
        self.history = History(inventory.history_path)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the history, recall its last minutes and connect to every device.

        Raises:
            StoreError: the history cannot be used.
        """
        await self.history.open()
        try:
            await self._recall()
        except sqlite3.Error as error:
            # A damaged past must not keep anybody from the present.
            self.history.problem = f"{self.history.path}: {error}"
        self._tasks = [asyncio.create_task(self.history.run(), name="history")]
        for device in self.inventory.spec.devices:
            link = DeviceLink(
                device,
                partial(self.inventory.token, device),
                self.store,
                self.history,
            )
            self._tasks.append(asyncio.create_task(link.run(), name=f"link {device.id}"))

    async def stop(self) -> None:
        """Close every connection and write what waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.history.close()

    async def __aenter__(self) -> Self:
        """Start; see `start`."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; see `stop`."""
        await self.stop()

    async def _recall(self) -> None:
        """Fill charts and events with what an earlier console saw."""
        now_unix_s, now_s = time.time(), self.store.clock()
        for device_id in self.store.ids():
            points = await self.history.recent_points(device_id, HISTORY_SAMPLES, now_unix_s, now_s)
            events = await self.history.recent_events(device_id, _EVENTS_TO_RECALL)
            self.store.recall(device_id, points, events)
