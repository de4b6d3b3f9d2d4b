"""Why a device stands on its rungs: asked of the device itself, or found in the history."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from edgeconsole.errors import ProtocolError, StoreError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.history import History
from edgeconsole.protocol.control import Explain, ExplainReply, GetStatus, StatusReply
from edgeconsole.protocol.failsafe import RouteConditions, RouteSample, Transition

TRANSITIONS: Final = 32
MOST_TRANSITIONS: Final = 256
"""The most that a device tells at once."""


class Explanation(msgspec.Struct, frozen=True):
    """What led to the present rungs, and what holds them."""

    device_id: str
    live: bool
    """Whether the device said so itself just now; if not, all of it is from the history."""
    note: str = ""
    """Why the device could not be asked."""
    routes: tuple[RouteSample, ...] = ()
    conditions: tuple[RouteConditions, ...] = ()
    """What the latest decision of each route looked at."""
    transitions: tuple[Transition, ...] = ()
    """Newest first."""


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
        routes=tuple(each for each in status.sample.routes if model in ("", each.model)),
        conditions=said.routes,
        transitions=said.transitions,
    )


async def explain_past(
    history: History, device_id: str, model: str = "", limit: int = TRANSITIONS, *, note: str
) -> Explanation:
    """Look into the history; `note` says why the device was not asked. Raises `StoreError`."""
    try:
        found = await history.transitions(device_id, model, limit)
    except sqlite3.Error as error:
        raise StoreError(f"{history.path}: {error}") from error
    return Explanation(device_id, live=False, note=note, transitions=tuple(found))
