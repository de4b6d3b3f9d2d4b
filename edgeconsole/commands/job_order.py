"""The order for an optimisation: which bundle of a device is meant, and what would be done with it."""

from __future__ import annotations

import argparse
import json

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.folder import device_files
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet import jobs, models
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.tasks import OptimizeTask
from edgeconsole.optimization_options import Asked
from edgeconsole.optimization_plan import sentences
from edgeconsole.protocol.control import StoredModel
from edgeconsole.text import printable


async def wanted(link: ControlLink, what: str, asked: Asked, bundle: Bundle | None) -> OptimizeTask:
    """Return the task for what was named: a bundle, a stored one's key, or a model.

    Raises `RequestError` for a key that the device does not have.
    """
    if bundle is not None:
        return OptimizeTask(bundle.manifest.key, asked, bundle.digest)
    if "/" in what:
        return OptimizeTask(what, asked, _find(await models.stored(link), what).digest)
    return OptimizeTask(what, asked)


async def print_plan(
    link: ControlLink, options: argparse.Namespace, asked: Asked, bundle: Bundle | None
) -> int:
    """Say what would be done; raises `RequestError` where it would be refused."""
    stored = await models.stored(link)
    live = [each for each in await jobs.list_jobs(link) if not each.state.final]
    sent = 0
    if bundle is not None:
        key, digest = bundle.manifest.key, bundle.digest
        if all(each.digest != digest for each in stored):
            sent = sum(file.size for file in device_files(bundle.manifest))
    else:
        found = _find(stored, options.what)
        key, digest = found.key, found.digest
    if options.json:
        plan = {
            "device": options.device,
            "bundle": key,
            "digest": digest,
            "level": asked.level.value,
            "budget_s": asked.budget_s,
            "send_bytes_at_most": sent,
            "ahead": len(live),
        }
        print(json.dumps({"plan": plan}))
        return 0
    print(f"{asked.level} of {printable(key)} on {options.device}")
    print(f"would be sent: {sent} bytes at most" if sent else "nothing would be sent")
    for word, sentence in sentences(asked, len(live)):
        print(f"{word}: {sentence}")
    return 0


def _find(stored: tuple[StoredModel, ...], name: str) -> StoredModel:
    found = models.find(stored, name)
    if found is not None:
        return found
    raise RequestError(
        ErrorCode.UNKNOWN_MODEL,
        f"the device has no {name!r}" + ("" if "/" in name else " that answers"),
        hint="`edgeconsole models DEVICE` says what it has; a bundle is named by its folder",
    )
