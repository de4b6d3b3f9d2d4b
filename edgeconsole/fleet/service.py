"""The whole operator's side at work: links, live store and history, started and stopped as one."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

import msgspec

from edgeconsole.errors import LinkError, ProtocolError, RequestError
from edgeconsole.fleet import switches
from edgeconsole.fleet.alert_book import AlertBook
from edgeconsole.fleet.alert_watch import AlertWatch
from edgeconsole.fleet.backfill import Backfiller
from edgeconsole.fleet.dispatch import Courier, Dispatcher
from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.findings import FindingsDesk
from edgeconsole.fleet.history import History
from edgeconsole.fleet.inventory import Inventory
from edgeconsole.fleet.job_desk import JobDesk
from edgeconsole.fleet.links import DeviceLink
from edgeconsole.fleet.look_back import LookBack
from edgeconsole.fleet.model_desk import ModelDesk
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.order_book import AuditRow, OrderBook
from edgeconsole.fleet.orders import Intent, Standing
from edgeconsole.fleet.store import HISTORY_SAMPLES, RECENT_EVENTS, FleetStore, Point
from edgeconsole.fleet.why import explain_live, explain_past
from edgeconsole.protocol.telemetry import DeviceEvent

_EVENTS_TO_RECALL: Final = 50


class FleetService:
    """Follows a fleet. `start` and `stop` run on the loop of whoever shows it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.store = FleetStore(inventory.spec)
        spec = inventory.spec
        self.history = History(inventory.history_path, spec.retention, spec.name, self.store.ids())
        self.book = OrderBook(inventory.history_path)
        self.links = OpenLinks()
        self.dispatcher = Dispatcher(Courier(self.book), self.links, self.store.set_orders)
        findings = FindingsDesk()
        self.jobs = JobDesk(self.links, self.store, findings)
        self.models = ModelDesk(self.links, self.store, findings)
        self.backfill = Backfiller(inventory.history_path, self.links, self._refill)
        self.look_back = LookBack(inventory.history_path, self.store)
        self.alerts = AlertWatch(
            spec.alerts, self.store, AlertBook(inventory.history_path), self.history
        )
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
        self._tasks = [
            asyncio.create_task(self.history.run(), name="history"),
            asyncio.create_task(self.history.keep_up(), name="upkeep"),
            asyncio.create_task(self.look_back.run(), name="look back"),
            asyncio.create_task(self.alerts.run(), name="alerts"),
            asyncio.create_task(self.backfill.run(self.store.ids()), name="backfill"),
            asyncio.create_task(self.dispatcher.run(), name="orders"),
        ]
        for device in self.inventory.spec.devices:
            link = DeviceLink(
                device,
                partial(self.inventory.token, device),
                self.store,
                self.history,
                self.links.through,
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

    @property
    def problem(self) -> str:
        """Why nothing is recorded, or no order goes out, at the moment; empty while all is well."""
        return (
            self.history.problem
            or self.dispatcher.problem
            or self.backfill.problem
            or self.history.upkeep_problem
            or self.look_back.problem
            or self.alerts.problem
            or self.alerts.hooks.problem
        )

    @property
    def desk(self) -> Self:
        """Return who takes orders and knows why: the service itself."""
        return self

    async def order(self, intent: Intent, device_ids: Sequence[str]) -> None:
        """Put an intent for some devices into the book, whole or not at all, and send what can be.

        Raises:
            StoreError: the book cannot be written; nothing was ordered.
        """
        urls = {device.id: device.url for device in self.inventory.spec.devices}
        now_unix_s = time.time()
        orders = [intent.order(name, urls[name], now_unix_s) for name in device_ids]
        await asyncio.to_thread(self.book.place, orders, now_unix_s)
        await self.dispatcher.look()
        self.dispatcher.kick()

    async def standings(self, command_id: str) -> list[Standing]:
        """Return how far the orders of one intent have come; raises `StoreError`."""
        return await asyncio.to_thread(self.book.standings, command_id)

    async def audit(self, limit: int = 200) -> list[AuditRow]:
        """Return the latest rows of the audit, newest first; raises `StoreError`."""
        return await asyncio.to_thread(self.book.audit, limit)

    async def explain(self, device_id: str) -> Explanation:
        """Return why a device stands where it stands: in its own words, else from the history.

        Raises:
            StoreError: the device cannot be asked, and the history cannot be read.
        """
        view, link = self.store.device(device_id), self.links.get(device_id)
        note = view.link_reason if view is not None else ""
        if link is not None:
            try:
                return await explain_live(link, device_id)
            except (LinkError, ProtocolError, RequestError) as error:
                note = str(error)
        found = await explain_past(self.history, device_id, note=note or "it is not connected")
        if view is None or view.sample is None:
            return found
        heard, age_s = view.sample, view.age_s or 0.0
        return msgspec.structs.replace(
            found,
            routes=heard.routes,
            heat=heard.thermal,
            ahead_s=heard.time_unix_s + age_s - time.time(),
            age_s=age_s,
        )

    async def _refill(self, device_id: str) -> None:
        """Draw a device's last minutes anew: something that was missing is in the history now."""
        device_unix_s = self.store.device_now(device_id)
        if device_unix_s is None:
            return
        await self.history.flush()
        points = await self.history.recent_points(
            device_id, HISTORY_SAMPLES, device_unix_s, self.store.clock()
        )
        events = await self.history.recent_events(device_id, RECENT_EVENTS)
        self.store.refill(device_id, points, events)

    async def _recall(self) -> None:
        """Fill charts and events with what an earlier console saw."""
        now_unix_s, now_s = time.time(), self.store.clock()
        for device_id in self.store.ids():
            points = await self.history.recent_points(device_id, HISTORY_SAMPLES, now_unix_s, now_s)
            events = await self.history.recent_events(device_id, _EVENTS_TO_RECALL)
            self.store.recall(
                device_id, points, events, await self._minute_before(device_id, events)
            )

    async def _minute_before(self, device_id: str, events: Sequence[DeviceEvent]) -> list[Point]:
        """Return what was heard before the latest switch to another bundle, on the device's clock."""
        told = switches.latest(events)
        if told is None:
            return []
        at = told.time_unix_s
        return await self.history.recent_points(device_id, switches.WINDOW_S, at, at)
