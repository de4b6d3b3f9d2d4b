"""The models in one device's store, asked of it over an open connection."""

from __future__ import annotations

from collections.abc import Sequence

from edgeconsole.errors import ProtocolError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import ListModels, ModelsReply, StoredModel


def find(models: Sequence[StoredModel], name: str) -> StoredModel | None:
    """Return the newest bundle of `MODEL/VERSION[/VARIANT]`, or the one that answers to `MODEL`."""
    model, version, variant = [*name.split("/", 2), "", ""][:3]
    for each in models:
        if (
            each.model == model
            and version in ("", each.version)
            and variant in ("", each.variant)
            and ("/" in name or each.active)
        ):
            return each
    return None


async def stored(link: ControlLink) -> tuple[StoredModel, ...]:
    """Return all, newest first.

    Raises `RequestError` for what the device refuses, `LinkError` where no reply comes, and
    `ProtocolError` for one of another kind.
    """
    reply = await link.ask(ListModels(link.next_id()))
    if not isinstance(reply, ModelsReply):
        raise ProtocolError(f"{link.url} answered with {type(reply).__name__}")
    return reply.models
