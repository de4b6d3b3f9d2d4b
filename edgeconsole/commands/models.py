"""`edgeconsole models|load|activate|unload|rollback`: what a device holds, and what answers there."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Final

import msgspec

from edgeconsole.commands.devices import find_device
from edgeconsole.errors import ProtocolError
from edgeconsole.fleet.control import LOAD_TIMEOUT_S, ControlLink
from edgeconsole.protocol.control import (
    ActivateModel,
    Command,
    Done,
    ListModels,
    LoadModel,
    ModelsReply,
    Reply,
    RollBackModel,
    StoredModel,
    UnloadModel,
)
from edgeconsole.text import printable

_CHANGES: Final[dict[str, type[LoadModel | ActivateModel | UnloadModel]]] = {
    "load": LoadModel,
    "activate": ActivateModel,
    "unload": UnloadModel,
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the five verbs."""
    listing = verbs.add_parser("models", help="list the models a device holds")
    listing.add_argument("device", metavar="DEVICE", help="a device of the fleet file")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run, change=None)
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


def run(options: argparse.Namespace) -> int:
    """Carry out the verb on the device."""
    reply = asyncio.run(_ask(options))
    if isinstance(reply, ModelsReply):
        if options.json:
            print(json.dumps({"models": msgspec.to_builtins(reply.models)}))
        else:
            _print_models(reply.models)
        return 0
    if not isinstance(reply, Done):
        raise ProtocolError(f"{options.device} answered with {type(reply).__name__}")
    print(json.dumps({"done": reply.message}) if options.json else printable(reply.message))
    return 0


async def _ask(options: argparse.Namespace) -> Reply:
    device, token = find_device(options.fleet, options.device)
    async with ControlLink(device.url, token) as link:
        await link.hello()
        return await link.ask(_command(link.next_id(), options), LOAD_TIMEOUT_S)


def _command(command_id: str, options: argparse.Namespace) -> Command:
    if options.change is None:
        return ListModels(id=command_id)
    if options.change == "rollback":
        return RollBackModel(id=command_id, model=options.model)
    parts = [*options.model.split("/", 2), "", ""]
    return _CHANGES[options.change](
        id=command_id, model=parts[0], version=parts[1], variant=parts[2]
    )


def _print_models(models: tuple[StoredModel, ...]) -> None:
    print(f"{'MODEL':<32}{'STATE':<10}{'SIZE':>9}  DIGEST")
    for each in models:
        key = printable(f"{each.model}/{each.version}/{each.variant}")
        state = "active" if each.active else "loaded" if each.loaded else "stored"
        print(
            f"{key:<32}{state:<10}{each.size_bytes / 1024:>6.0f} kB  {printable(each.digest[:12])}"
        )
