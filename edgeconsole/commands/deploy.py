"""`edgeconsole deploy`: bring a bundle to a device and let it answer there."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from uuid import uuid4

from edgeconsole.bundle import Bundle
from edgeconsole.commands.devices import find_in_fleet
from edgeconsole.commands.giving import give
from edgeconsole.fleet import models
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.deploy import send_bundle
from edgeconsole.fleet.orders import Intent
from edgeconsole.fleet.tasks import ActivateTask, StoreTask


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "deploy",
        help="bring a bundle to a device and let it answer there",
        description="Send a bundle to a device (only the files it lacks), load it, and let it answer "
        "to its model's name. The one before it goes on until then and is what `rollback` returns to.",
    )
    parser.add_argument("device", metavar="DEVICE", help="a device of the fleet file")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument("--no-activate", action="store_true", help="only store it")
    parser.add_argument(
        "--plan", action="store_true", help="say what would be done, and do nothing"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Deploy the bundle."""
    bundle = Bundle.open(options.bundle)
    bundle.verify()
    report = asyncio.run(_deploy(options, bundle))
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{report['bundle']} {report['outcome']} on {report['device']}")
    return 0


async def _deploy(options: argparse.Namespace, bundle: Bundle) -> dict[str, object]:
    inventory, device = find_in_fleet(options.fleet, options.device)
    token = inventory.token(device)
    manifest = bundle.manifest
    sent: dict[str, int] = {}

    def tell(path: str, size: int) -> None:
        sent[path] = size
        if not options.json:
            print(f"sent {path}, {size} bytes", file=sys.stderr)

    async with ControlLink(device.url, token) as link:
        await link.hello()
        if options.plan:
            stored = any(each.digest == bundle.digest for each in await models.stored(link))
            outcome = _planned(stored=stored, activates=not options.no_activate)
        else:
            await send_bundle(device.url, token, bundle, tell)
            task = _task(options, bundle)
            intent = Intent.of(task, uuid4().hex, actor(), "deployed")
            await give(inventory, device, link, intent)
            outcome = "is stored" if options.no_activate else "is active"
    return {
        "device": device.id,
        "bundle": manifest.key,
        "digest": bundle.digest,
        "outcome": outcome,
        "sent_bytes": sum(sent.values()),
        "files": sent,
    }


def _task(options: argparse.Namespace, bundle: Bundle) -> ActivateTask | StoreTask:
    if options.no_activate:
        return StoreTask(str(options.bundle), bundle.digest)
    manifest = bundle.manifest
    return ActivateTask(manifest.model, manifest.version, manifest.variant, bundle.digest)


def _planned(*, stored: bool, activates: bool) -> str:
    if activates:
        return "would be activated" if stored else "would be sent and activated"
    return "is stored already" if stored else "would be sent"
