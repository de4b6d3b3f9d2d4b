"""`edgeconsole why`: what put a device on its rungs, and what holds it there."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from datetime import datetime

import msgspec

from edgeconsole.commands.devices import known_devices
from edgeconsole.errors import LinkError, ProtocolError, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.history import History
from edgeconsole.fleet.inventory import Inventory, find_fleet_file, load_inventory
from edgeconsole.fleet.why import (
    MOST_TRANSITIONS,
    TRANSITIONS,
    explain_live,
    explain_past,
)
from edgeconsole.specs import FleetDevice


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "why",
        help="print what put a device on its rungs, and what holds it there",
        description="Ask a device why it answers as it does. A device that cannot be reached is "
        "explained from what the console has stored of it; the first line says which it is.",
    )
    parser.add_argument("device", metavar="DEVICE", help="a device of the fleet file")
    parser.add_argument("--model", default="", help="one model (default: all)")
    parser.add_argument(
        "--limit", type=_limit, default=TRANSITIONS, help="transitions at most, 1 to 256"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _limit(text: str) -> int:
    limit = int(text)
    if not 1 <= limit <= MOST_TRANSITIONS:
        raise ValueError(text)
    return limit


def run(options: argparse.Namespace) -> int:
    """Explain the device."""
    from edgeconsole.tui import why_lines
    from edgeconsole.tui.glyphs import BRAILLE
    from edgeconsole.tui.runs import plain

    inventory = load_inventory(find_fleet_file(options.fleet))
    (device,) = known_devices(inventory, [options.device])
    said = asyncio.run(_explain(inventory, device, options.model, options.limit))
    if options.json:
        print(json.dumps(msgspec.to_builtins(said)))
        return 0
    width = max(80, shutil.get_terminal_size((120, 40)).columns)
    for line in why_lines.lines(said, datetime.now().astimezone(), width, BRAILLE):
        print(plain(line).rstrip())
    return 0


async def _explain(
    inventory: Inventory, device: FleetDevice, model: str, limit: int
) -> Explanation:
    try:
        async with ControlLink(device.url, inventory.token(device)) as link:
            await link.hello()
            return await explain_live(link, device.id, model, limit)
    except (LinkError, ProtocolError, RequestError) as error:
        note = error.message
    history = History(inventory.history_path)
    await history.open()
    try:
        return await explain_past(history, device.id, model, limit, note=note)
    finally:
        await history.close()
