"""`edgeconsole models remove`: remove bundles that nothing on a device needs.

Exit code: 0 what could go is gone, 1 nothing could go or the device kept one, 2 it could not be done.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import msgspec

from edgeconsole.commands.devices import find_in_fleet
from edgeconsole.commands.giving import give
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet import models
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.orders import Intent
from edgeconsole.fleet.tasks import RemoveTask
from edgeconsole.protocol.control import StoredModel
from edgeconsole.text import printable

USAGE: Final = (
    "edgeconsole models remove DEVICE MODEL[/VERSION[/VARIANT]] [--digest D] [--plan] [--json]"
)
_EXIT_KEPT: Final = 1


class Fate(msgspec.Struct, frozen=True):
    """What became of a bundle, or would."""

    bundle: str
    digest: str
    outcome: str
    detail: str


async def remove(options: argparse.Namespace, device_id: str, name: str) -> int:
    """Remove what is named and not needed, and say what became of each bundle."""
    inventory, device = find_in_fleet(options.fleet, device_id)
    fates: list[Fate] = []
    async with ControlLink(device.url, inventory.token(device)) as link:
        await link.hello()
        for each in matching(await models.stored(link), name, options.digest):
            if each.needed or options.plan:
                outcome = "stays" if each.needed else "would be removed"
                fates.append(_fate(each, outcome, each.needed))
                continue
            task = RemoveTask(each.key, each.digest)
            intent = Intent.of(task, uuid4().hex, actor())
            try:
                said = await give(inventory, device, link, intent)
                fates.append(_fate(each, "removed", said))
            except RequestError as error:
                fates.append(_fate(each, "refused", error.message))
    if options.json:
        print(json.dumps({"device": device.id, "bundles": msgspec.to_builtins(fates)}))
    else:
        for fate in fates:
            detail = f": {fate.detail}" if fate.outcome != "removed" and fate.detail else ""
            print(printable(f"{fate.bundle} {fate.digest[:12]} {fate.outcome}{detail}"))
    gone = [fate for fate in fates if fate.outcome in ("removed", "would be removed")]
    refused = any(fate.outcome == "refused" for fate in fates)
    return 0 if gone and not refused else _EXIT_KEPT


def matching(stored: Sequence[StoredModel], name: str, digest: str) -> list[StoredModel]:
    """Return the bundles of `MODEL[/VERSION[/VARIANT]]` whose digest begins so, newest first.

    Raises `RequestError` if there is none.
    """
    model, version, variant = [*name.split("/", 2), "", ""][:3]
    found = [
        each
        for each in stored
        if each.model == model
        and version in ("", each.version)
        and variant in ("", each.variant)
        and each.digest.startswith(digest)
    ]
    if not found:
        which = f" with a digest {digest}…" if digest else ""
        raise RequestError(
            ErrorCode.UNKNOWN_MODEL,
            f"the device has no {name!r}{which}",
            hint="`edgeconsole models DEVICE` says what it has",
        )
    return found


def _fate(model: StoredModel, outcome: str, detail: str) -> Fate:
    return Fate(model.key, model.digest, outcome, detail)
