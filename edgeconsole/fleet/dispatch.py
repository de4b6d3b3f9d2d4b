"""Sends queued orders to devices: at once where a link is open, at next contact otherwise.

What is on its way when this program is killed waits in the book until its claim runs out; the next
program sends it again, and the device knows it by its id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from edgeconsole.errors import ErrorCode, LinkError, RequestError, StoreError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.orders import Lane, Order, Outcome, Standing
from edgeconsole.fleet.tasks import OptimizeTask
from edgeconsole.protocol.control import Done, OptimizeReply

_log = logging.getLogger("edgeconsole.fleet")

LOOK_S: Final = 1.0
"""How often the book is looked at for what other programs have put there."""
PAUSE_S: Final = 10.0
"""How long a device that could not take an order is left alone, unless it connects anew."""
_LATER: Final = (ErrorCode.SHUTTING_DOWN, ErrorCode.NOT_READY)
"""Refusals that pass by themselves: the order waits on."""
_Way = tuple[str, Lane]
"""A device and a lane to it."""


class Courier:
    """Takes a device's orders to it over an open link."""

    def __init__(self, book: OrderBook, wall_clock: Callable[[], float] = time.time) -> None:
        self.book = book
        self.owner = uuid4().hex
        self.wall_clock = wall_clock

    async def deliver(self, device_id: str, link: ControlLink, *lanes: Lane) -> int:
        """Send what waits for the device, oldest first; returns how many orders that were.

        Of all lanes, one after the other, unless some are named.

        Raises:
            LinkError: the connection broke, or the device cannot take orders now; the order that
                was on its way waits again.
            StoreError: the book refused.
        """
        return sum([await self._deliver(device_id, link, lane) for lane in lanes or Lane])

    async def _deliver(self, device_id: str, link: ControlLink, lane: Lane) -> int:
        count = 0
        while True:
            order = await asyncio.to_thread(
                self.book.claim, device_id, link.url, self.owner, self.wall_clock(), lane
            )
            if order is None:
                return count
            standing = await self._send(order, link)
            await asyncio.to_thread(self.book.settle, standing, self.owner, self.wall_clock())
            if not standing.outcome.final:
                raise LinkError(standing.detail)
            count += 1

    async def _send(self, order: Order, link: ControlLink) -> Standing:
        try:
            command = order.command(link.next_id(), self.wall_clock())
            reply = await link.ask(command, order.reply_s)
        except RequestError as error:
            outcome = Outcome.QUEUED if error.code in _LATER else Outcome.REFUSED
            return Standing(order, outcome, str(error))
        except LinkError as error:
            return Standing(order, Outcome.QUEUED, error.message)
        if isinstance(reply, Done):
            return Standing(order, Outcome.ACKNOWLEDGED, reply.message)
        if isinstance(reply, OptimizeReply) and isinstance(order.task, OptimizeTask):
            ahead = f", {reply.ahead} before it" if reply.ahead else ""
            return Standing(order, Outcome.ACKNOWLEDGED, f"job {reply.job_id} is queued{ahead}")
        return Standing(order, Outcome.REFUSED, f"it answered with {type(reply).__name__}")


class Dispatcher:
    """Looks into the book and lets the courier go wherever a link is live."""

    def __init__(
        self,
        courier: Courier,
        links: OpenLinks,
        tell: Callable[[str, tuple[Standing, ...]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it; `tell` hears of every device whose waiting orders have changed."""
        self._courier = courier
        self._links = links
        self._tell = tell
        self._clock = clock
        self._busy: set[_Way] = set()
        self._not_before: dict[_Way, float] = {}
        self._told: dict[str, tuple[Standing, ...]] = {}
        self._kicked = asyncio.Event()
        self.problem = ""
        """Why the book cannot be used at the moment; empty while all is well."""
        links.opened = self._reached

    def kick(self) -> None:
        """Look into the book now: something was put there."""
        self._kicked.set()

    def _reached(self, device_id: str) -> None:
        for lane in Lane:
            self._not_before.pop((device_id, lane), None)
        self.kick()

    async def run(self) -> None:
        """Send what waits, for ever."""
        async with asyncio.TaskGroup() as couriers:
            while True:
                self._kicked.clear()
                for device_id in await self.look():
                    link = self._links.get(device_id)
                    lanes = {each.order.kind.lane for each in self._told[device_id]}
                    for way in [(device_id, lane) for lane in lanes]:
                        if link is not None and self._may_go(way):
                            self._busy.add(way)
                            visit = self._visit(way, link)
                            couriers.create_task(visit, name=f"orders {device_id}")
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._kicked.wait()
                except TimeoutError:
                    continue

    def _may_go(self, way: _Way) -> bool:
        early = self._clock() < self._not_before.get(way, 0.0)
        return way not in self._busy and not early

    async def look(self) -> list[str]:
        """Drop what expired, tell what waits, and return the devices that something waits for."""
        book = self._courier.book
        try:
            await asyncio.to_thread(book.expire, self._courier.wall_clock())
            waiting = await asyncio.to_thread(book.waiting)
        except StoreError as error:
            self.problem = error.message
            return []
        self.problem = ""
        by_device: dict[str, tuple[Standing, ...]] = {}
        for standing in waiting:
            name = standing.order.device_id
            by_device[name] = (*by_device.get(name, ()), standing)
        for name in by_device.keys() | self._told.keys():
            if by_device.get(name) != self._told.get(name):
                self._tell(name, by_device.get(name, ()))
        self._told = by_device
        return list(by_device)

    async def _visit(self, way: _Way, link: ControlLink) -> None:
        try:
            # What another program has claimed is looked at again in a while, not at once.
            if await self._courier.deliver(way[0], link, way[1]):
                self.kick()
        except LinkError:
            # The order waits again, with the reason; a link that opens anew ends the pause.
            self._not_before[way] = self._clock() + PAUSE_S
        except StoreError as error:
            self.problem = error.message
            self._not_before[way] = self._clock() + PAUSE_S
        except Exception:  # noqa: BLE001
            # One device's oddity must not keep orders from the others.
            _log.exception("orders for %s could not be delivered", way[0])
            self._not_before[way] = self._clock() + PAUSE_S
        finally:
            self._busy.discard(way)
