"""`edgeconsole models|load|activate|unload|rollback`: what a device holds, and what answers there.

What changes anything goes through the book of orders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Final
from uuid import uuid4

import msgspec

from edgeconsole.commands.devices import find_device, find_in_fleet
from edgeconsole.commands.giving import give
from edgeconsole.commands.remove import USAGE, remove
from edgeconsole.errors import ConfigError
from edgeconsole.fleet import models
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.orders import Intent
from edgeconsole.fleet.tasks import ActivateTask, LoadTask, RollBackTask, Task, UnloadTask
from edgeconsole.protocol.control import StoredModel
from edgeconsole.text import printable

_BY_NAME: Final[dict[str, type[ActivateTask | LoadTask | UnloadTask]]] = {
    "activate": ActivateTask,
    "load": LoadTask,
    "unload": UnloadTask,
}
_USAGE: Final = f"edgeconsole models DEVICE [--json]\n       {USAGE}"


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the five verbs."""
    listing = verbs.add_parser(
        "models",
        help="list the models a device holds, remove some",
        description="List what is in a device's store; or remove what is named there and nothing "
        "needs: what answers, what answered before it, what is loaded, what device.toml names and "
        "what a job works on always stays.",
        usage=_USAGE,
    )
    listing.add_argument(
        "words",
        nargs="+",
        metavar="DEVICE",
        help="a device of the fleet file; or `remove`, a device and MODEL[/VERSION[/VARIANT]]",
    )
    listing.add_argument("--digest", default="", help="remove only bundles whose digest begins so")
    listing.add_argument(
        "--plan", action="store_true", help="say what would be removed, and do nothing"
    )
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_models)
    texts = {
        "load": "start a worker for a stored model",
        "activate": "let a stored model answer to its name",
        "unload": "drain and end a model's workers",
        "rollback": "let the bundle that answered before answer again",
    }
    for verb, text in texts.items():
        parser = verbs.add_parser(verb, help=text)
        parser.add_argument("device", metavar="DEVICE", help="a device of the fleet file")
        parser.add_argument("model", metavar="MODEL[/VERSION[/VARIANT]]")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(run=run, change=verb)


def run_models(options: argparse.Namespace) -> int:
    """List what a device holds, or remove some of it."""
    match options.words:
        case ["remove", device, name]:
            return asyncio.run(remove(options, device, name))
        case [device] if not (options.plan or options.digest):
            found = asyncio.run(_list(options, device))
            if options.json:
                print(json.dumps({"models": msgspec.to_builtins(found)}))
            else:
                _print_models(found)
            return 0
    raise ConfigError(f"models {' '.join(options.words)}: not understood", hint=USAGE)


async def _list(options: argparse.Namespace, device_id: str) -> tuple[StoredModel, ...]:
    device, token = find_device(options.fleet, device_id)
    async with ControlLink(device.url, token) as link:
        await link.hello()
        return await models.stored(link)


def run(options: argparse.Namespace) -> int:
    """Carry out the verb on the device."""
    said = asyncio.run(_change(options))
    print(json.dumps({"done": said}) if options.json else printable(said))
    return 0


async def _change(options: argparse.Namespace) -> str:
    inventory, device = find_in_fleet(options.fleet, options.device)
    async with ControlLink(device.url, inventory.token(device)) as link:
        await link.hello()
        intent = Intent.of(await _task(link, options), uuid4().hex, actor())
        return await give(inventory, device, link, intent)


async def _task(link: ControlLink, options: argparse.Namespace) -> Task:
    if options.change in _BY_NAME:
        return _BY_NAME[options.change](*_parts(options.model))
    now = [each for each in await models.stored(link) if each.model == options.model]
    return RollBackTask(options.model, next((each.digest for each in now if each.active), ""))


def _parts(name: str) -> tuple[str, str, str]:
    """Return model, version and variant; what is not named is empty."""
    model, version, variant = [*name.split("/", 2), "", ""][:3]
    return model, version, variant


def _print_models(models: tuple[StoredModel, ...]) -> None:
    print(f"{'MODEL':<32}{'STATE':<10}{'SIZE':>9}  DIGEST")
    for each in models:
        key = printable(each.key)
        state = "active" if each.active else "loaded" if each.loaded else "stored"
        print(
            f"{key:<32}{state:<10}{each.size_bytes / 1024:>6.0f} kB  {printable(each.digest[:12])}"
        )
