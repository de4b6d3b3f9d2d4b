"""`edgeconsole jobs`: the optimisation jobs of devices, their reports, and their end.

Exit code: 0 it was done, 1 a device could not be asked, 2 it could not be done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import msgspec

from edgeconsole.commands.devices import find_device, find_in_fleet, known_devices
from edgeconsole.commands.giving import give
from edgeconsole.commands.job_lines import found_lines, job_lines
from edgeconsole.errors import ConfigError, EdgeConsoleError
from edgeconsole.fleet import jobs
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.inventory import Inventory, find_fleet_file, load_inventory
from edgeconsole.fleet.orders import Intent
from edgeconsole.fleet.tasks import CancelTask
from edgeconsole.protocol.jobs import Job
from edgeconsole.specs import FleetDevice
from edgeconsole.text import printable

_EXIT_NOT_ASKED: Final = 1
_AT_ONCE: Final = 32
_USAGE: Final = """\
edgeconsole jobs [DEVICE] [--json]
       edgeconsole jobs report DEVICE JOB [--json]
       edgeconsole jobs cancel DEVICE JOB [--json]"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "jobs",
        help="list optimisation jobs, print a report, cancel one",
        description=__doc__,
        usage=_USAGE,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="DEVICE",
        help="a device of the fleet file (default: all); or `report` or `cancel`, "
        "a device and a job",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List, print or cancel."""
    match options.words:
        case ["report", device, job_id]:
            return asyncio.run(_report(options, device, job_id))
        case ["cancel", device, job_id]:
            return asyncio.run(_cancel(options, device, job_id))
        case [] | [_]:
            inventory = load_inventory(find_fleet_file(options.fleet))
            names = options.words or [each.id for each in inventory.spec.devices]
            devices = known_devices(inventory, names)
            return asyncio.run(_list(options, inventory, devices))
    raise ConfigError(f"jobs {' '.join(options.words)}: not understood", hint=_USAGE.split("\n")[0])


async def _report(options: argparse.Namespace, device_id: str, job_id: str) -> int:
    device, token = find_device(options.fleet, device_id)
    async with ControlLink(device.url, token) as link:
        await link.hello()
        job, report = await jobs.fetch_report(link, job_id)
    if options.json:
        found = {
            "device": device.id,
            "job": msgspec.to_builtins(job),
            "report": msgspec.to_builtins(report),
        }
        print(json.dumps(found))
        return 0
    for line in found_lines(device.id, job, report):
        print(printable(line))
    return 0


async def _cancel(options: argparse.Namespace, device_id: str, job_id: str) -> int:
    inventory, device = find_in_fleet(options.fleet, device_id)
    intent = Intent.of(CancelTask(job_id), uuid4().hex, actor())
    async with ControlLink(device.url, inventory.token(device)) as link:
        await link.hello()
        said = await give(inventory, device, link, intent)
    print(json.dumps({"done": said}) if options.json else printable(said))
    return 0


async def _list(
    options: argparse.Namespace, inventory: Inventory, devices: Sequence[FleetDevice]
) -> int:
    """Ask all devices at once; one that cannot be asked is said, and does not hide the others."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def ask(device: FleetDevice) -> tuple[Job, ...] | EdgeConsoleError:
        try:
            async with room, ControlLink(device.url, inventory.token(device)) as link:
                await link.hello()
                return await jobs.list_jobs(link)
        except EdgeConsoleError as error:
            return error

    answers = await asyncio.gather(*(ask(device) for device in devices))
    found: list[tuple[str, tuple[Job, ...]]] = []
    failed: list[tuple[str, EdgeConsoleError]] = []
    for device, answer in zip(devices, answers, strict=True):
        if isinstance(answer, EdgeConsoleError):
            failed.append((device.id, answer))
        else:
            found.append((device.id, answer))
    if options.json:
        listed = [{"device": name, "jobs": msgspec.to_builtins(each)} for name, each in found]
        listed += [{"device": name, "error": error.message} for name, error in failed]
        print(json.dumps({"devices": listed}))
    else:
        for line in job_lines(found):
            print(printable(line))
        for name, error in failed:
            print(f"edgeconsole: {name}: {printable(error.message)}", file=sys.stderr)
    return _EXIT_NOT_ASKED if failed else 0
