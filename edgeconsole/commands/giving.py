"""Gives a device an order through the book, so that it is on disk and in the audit before it is sent."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Final

from edgeconsole.errors import EdgeConsoleError, ErrorCode, LinkError, RequestError
from edgeconsole.fleet import database
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.dispatch import Courier
from edgeconsole.fleet.inventory import Inventory
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.orders import Intent, Order, Outcome, Standing
from edgeconsole.specs import FleetDevice

EXIT_WAITING: Final = 3
"""Exit code where a device was not reached yet and the order waits for it."""
_LOOK_S: Final = 0.1


async def place(inventory: Inventory, device: FleetDevice, intent: Intent) -> tuple[Courier, Order]:
    """Write an order down; raises `StoreError`, and then nothing was ordered."""
    await asyncio.to_thread(database.make, inventory.history_path)
    courier = Courier(OrderBook(inventory.history_path))
    now_unix_s = time.time()
    order = intent.order(device.id, device.url, now_unix_s)
    await asyncio.to_thread(courier.book.expire, now_unix_s)
    await asyncio.to_thread(courier.book.place, [order], now_unix_s)
    return courier, order


async def give(inventory: Inventory, device: FleetDevice, link: ControlLink, intent: Intent) -> str:
    """Give a device an order over an open link; returns its sentence.

    Raises:
        RequestError: the device refused it.
        LinkError: it did not come that far; the order waits, or its time is over.
        StoreError: the book refused; if it could not be written, nothing was ordered.
    """
    courier, order = await place(inventory, device, intent)
    trouble: EdgeConsoleError | None = None
    try:
        await courier.deliver(device.id, link)
    except LinkError as error:
        trouble = error
    standing = await settled(courier.book, order)
    if standing.outcome is Outcome.ACKNOWLEDGED:
        return standing.detail
    if standing.outcome is Outcome.REFUSED:
        raise RequestError(ErrorCode.CONFLICT, standing.detail)
    if standing.outcome.final or trouble is None:
        trouble = LinkError(standing.detail or "another program is sending it; see the audit")
    raise LinkError(f"{device.id}: {waits(order, trouble)}")


async def settled(book: OrderBook, order: Order) -> Standing:
    """Return how an order stands; what another program is sending just now is waited for."""
    until_s = time.monotonic() + order.reply_s
    while True:
        found = await asyncio.to_thread(book.standings, order.command_id)
        standing = next(each for each in found if each.order.device_id == order.device_id)
        if standing.outcome is not Outcome.SENT or time.monotonic() > until_s:
            return standing
        await asyncio.sleep(_LOOK_S)


def waits(order: Order, error: EdgeConsoleError) -> str:
    """Return why an order waits, and for how long."""
    until = datetime.fromtimestamp(order.send_before_unix_s).astimezone()
    how = "the next console or verb that reaches it sends it"
    return f"{error.message}; {how}, until {until:%H:%M:%S}"
