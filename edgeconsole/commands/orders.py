"""`edgeconsole failsafe|fallback|maintenance|release|thermal`: force something on devices, or let go.

Exit code: 0 every device did it, 1 one refused, 2 nothing was ordered, 3 one was not reached yet
and the order waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import uuid4

import msgspec

from edgeconsole.commands.devices import known_devices
from edgeconsole.commands.giving import EXIT_WAITING, settled, waits
from edgeconsole.durations import duration_text
from edgeconsole.errors import EdgeConsoleError
from edgeconsole.fleet import database
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import lacks
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.dispatch import Courier
from edgeconsole.fleet.inventory import Inventory, find_fleet_file, load_inventory
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.orders import (
    DEFAULT_HOLD_S,
    NO_REASON,
    QUEUE_S,
    THERMAL_KINDS,
    Intent,
    OrderKind,
    Outcome,
    line_of,
    parse_hold,
    parse_queue,
)
from edgeconsole.protocol.control import GetStatus, StatusReply
from edgeconsole.specs import FleetDevice
from edgeconsole.text import printable

_AT_ONCE: Final = 32
_EXIT_REFUSED: Final = 1
_TEXTS: Final = {
    "failsafe": "let devices give their declared static answers",
    "fallback": "let the fallback model answer on devices",
    "maintenance": "drain devices and let them refuse",
}


_WOULD_WAIT: Final = "would wait"


class Report(msgspec.Struct, frozen=True):
    """What became of the order for one device."""

    device: str
    outcome: str
    detail: str


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verbs."""
    for verb, text in _TEXTS.items():
        parser = verbs.add_parser(verb, help=text, description=__doc__)
        parser.add_argument("switch", choices=("on", "off"))
        _add_hold(parser)
        _add_model(parser)
        _add_common(parser, verb)
    parser = verbs.add_parser(
        "release", help="end the rungs that were forced on devices", description=__doc__
    )
    _add_model(parser)
    _add_common(parser, "release")
    parser = verbs.add_parser(
        "thermal", help="force a thermal state on devices, or end that", description=__doc__
    )
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument(
        "--state",
        choices=[kind.heat.value for kind in THERMAL_KINDS if kind.heat],
        help="a cooler one than the device's own holds back more; a hotter one is for an hour at "
        "most, and a critical device ignores it",
    )
    way.add_argument("--release", action="store_true", help="end what was forced")
    _add_hold(parser)
    parser.set_defaults(model="")
    _add_common(parser, "thermal")


def _add_hold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="hold",
        default=duration_text(DEFAULT_HOLD_S),
        metavar="TIME",
        help="how long it lasts at most (default: %(default)s)",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="one model (default: all)")


def _add_common(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("devices", nargs="+", metavar="DEVICE", help="devices of the fleet file")
    parser.add_argument("--reason", default=NO_REASON, help="why; it is kept and shown")
    parser.add_argument(
        "--queue",
        default=duration_text(QUEUE_S),
        metavar="TIME",
        help="how long it waits for a device that is offline (default: %(default)s)",
    )
    parser.add_argument(
        "--plan", action="store_true", help="say what would be done, and do nothing"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run, verb=verb)


def run(options: argparse.Namespace) -> int:
    """Order it and say what became of it."""
    inventory = load_inventory(find_fleet_file(options.fleet))
    devices = known_devices(inventory, options.devices)
    intent = _intent(options)
    work = _plan if options.plan else _order
    report = asyncio.run(work(inventory, intent, devices))
    head = {
        "command_id": None if options.plan else intent.command_id,
        "line": line_of(
            intent.kind,
            [device.id for device in devices],
            model=intent.model,
            hold_s=intent.hold_s,
            reason=intent.reason,
        ),
        "actor": intent.actor,
    }
    if options.json:
        print(json.dumps({**head, "devices": msgspec.to_builtins(report)}))
    else:
        for each in report:
            detail = f": {each.detail}" if each.detail else ""
            print(printable(f"{each.device} {each.outcome}{detail}"))
    return _exit_code([each.outcome for each in report])


def _intent(options: argparse.Namespace) -> Intent:
    kind = _kind(options)
    return Intent(
        command_id=uuid4().hex,
        kind=kind,
        actor=actor(),
        model=options.model,
        reason=options.reason,
        hold_s=parse_hold(options.hold) if kind.lasts else None,
        queue_s=parse_queue(options.queue),
    )


def _kind(options: argparse.Namespace) -> OrderKind:
    if options.verb == "thermal":
        return OrderKind(f"thermal {options.state or 'release'}")
    return OrderKind(f"{options.verb} {getattr(options, 'switch', '')}".strip())


async def _plan(
    inventory: Inventory, intent: Intent, devices: Sequence[FleetDevice]
) -> list[Report]:
    """Look at who could be reached now; nothing is ordered."""

    async def look(device: FleetDevice) -> Report:
        try:
            async with ControlLink(device.url, inventory.token(device)) as link:
                await link.hello()
                status = await link.ask(GetStatus(link.next_id()))
        except EdgeConsoleError as error:
            order = intent.order(device.id, device.url, time.time())
            return Report(device.id, _WOULD_WAIT, waits(order, error))
        sample = status.sample if isinstance(status, StatusReply) else None
        missing = "; ".join(lacks(intent.kind, intent.model, sample))
        return Report(device.id, "would be sent", f"it has none for {missing}" if missing else "")

    return await _each(look, devices)


async def _order(
    inventory: Inventory, intent: Intent, devices: Sequence[FleetDevice]
) -> list[Report]:
    """Write the orders down, take them to whoever can be reached, and say how they stand."""
    await asyncio.to_thread(database.make, inventory.history_path)
    courier = Courier(OrderBook(inventory.history_path))
    now_unix_s = time.time()
    orders = {each.id: intent.order(each.id, each.url, now_unix_s) for each in devices}
    await asyncio.to_thread(courier.book.expire, now_unix_s)
    await asyncio.to_thread(courier.book.place, list(orders.values()), now_unix_s)

    async def send(device: FleetDevice) -> Report:
        order, trouble = orders[device.id], None
        try:
            async with ControlLink(device.url, inventory.token(device)) as link:
                await link.hello()
                await courier.deliver(device.id, link)
        except EdgeConsoleError as error:
            trouble = error
        standing = await settled(courier.book, order)
        if standing.outcome.final or trouble is None:
            return Report(device.id, standing.outcome.value, standing.detail)
        return Report(device.id, standing.outcome.value, waits(order, trouble))

    return await _each(send, devices)


async def _each(
    work: Callable[[FleetDevice], Awaitable[Report]], devices: Sequence[FleetDevice]
) -> list[Report]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(device: FleetDevice) -> Report:
        async with room:
            return await work(device)

    return await asyncio.gather(*(one(device) for device in devices))


def _exit_code(outcomes: Sequence[str]) -> int:
    if any(each in (Outcome.REFUSED, Outcome.EXPIRED) for each in outcomes):
        return _EXIT_REFUSED
    waiting = (Outcome.QUEUED, Outcome.SENT, _WOULD_WAIT)
    return EXIT_WAITING if any(each in waiting for each in outcomes) else 0
