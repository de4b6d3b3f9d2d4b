"""Why a device stands on its rungs: asked of the device itself, or found in the history."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from edgeconsole.errors import ProtocolError, StoreError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.history import History
from edgeconsole.protocol.control import Explain, ExplainReply, GetStatus, StatusReply

TRANSITIONS: Final = 32
MOST_TRANSITIONS: Final = 256
"""The most that a device tells at once."""


async def explain_live(
    link: ControlLink, device_id: str, model: str = "", limit: int = TRANSITIONS
) -> Explanation:
    """Ask the device.

    Raises:
        RequestError: it refused; an agent from before the ladder does.
        LinkError: no reply came.
        ProtocolError: it answered with something else.
    """
    said = await link.ask(Explain(link.next_id(), model, limit))
    status = await link.ask(GetStatus(link.next_id()))
    if not isinstance(said, ExplainReply) or not isinstance(status, StatusReply):
        raise ProtocolError(f"{link.url} answered a question with something else")
    return Explanation(
        device_id,
        live=True,
        ahead_s=status.sample.time_unix_s - time.time(),
        routes=tuple(each for each in status.sample.routes if model in ("", each.model)),
        conditions=said.routes,
        transitions=said.transitions,
        heat=status.sample.thermal,
        thermal=said.thermal,
        thermal_transitions=said.thermal_transitions,
    )


async def explain_past(
    history: History, device_id: str, model: str = "", limit: int = TRANSITIONS, *, note: str
) -> Explanation:
    """Look into the history; `note` says why the device was not asked. Raises `StoreError`."""
    try:
        found = await history.transitions(device_id, model, limit)
        heat = await history.thermal_transitions(device_id, limit)
    except sqlite3.Error as error:
        raise StoreError(f"{history.path}: {error}") from error
    return Explanation(
        device_id,
        live=False,
        note=note,
        transitions=tuple(found),
        thermal_transitions=tuple(heat),
    )
