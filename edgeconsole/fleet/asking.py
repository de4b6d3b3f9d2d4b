"""One question to many devices at once; of one that does not answer, what it said last, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from edgeconsole.errors import EdgeConsoleError, LinkError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore

_AT_ONCE: Final = 32
_WAIT_S: Final = 3.0
"""A device that hangs must not hold back what the others say for longer."""


class HasNote(Protocol):
    """What a device said, when, and why it did not say so just now."""

    @property
    def device_id(self) -> str:
        """The device."""
        ...

    @property
    def heard_unix_s(self) -> float | None:
        """When it said so, by our clock; `None`: it never did."""
        ...

    @property
    def note(self) -> str:
        """Why it did not say so just now; empty: it did."""
        ...


Said = TypeVar("Said", bound=msgspec.Struct)


class Question(Generic[Said]):
    """A question over the links that are open."""

    def __init__(
        self,
        links: OpenLinks,
        store: FleetStore,
        unknown: Callable[[str], Said],
        ask: Callable[[str, ControlLink], Awaitable[Said]],
    ) -> None:
        """Make it; `unknown` is what is known of a device that never said anything."""
        self._links = links
        self._store = store
        self._unknown = unknown
        self._asking = ask
        self._known: dict[str, Said] = {}

    async def ask(self, device_ids: Sequence[str]) -> list[Said]:
        """Ask devices at once; what one said before stands in for it, with a note."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(device_id: str) -> Said:
            async with room:
                return await self._ask(device_id)

        return list(await asyncio.gather(*(one(each) for each in device_ids)))

    def link(self, device_id: str) -> ControlLink:
        """Return the link to a device; raises `LinkError` where none is open."""
        link = self._links.get(device_id)
        if link is None:
            raise LinkError(f"{device_id}: {self._why_not(device_id)}")
        return link

    def _why_not(self, device_id: str) -> str:
        view = self._store.device(device_id)
        return (view.link_reason if view is not None else "") or "it is not connected"

    async def _ask(self, device_id: str) -> Said:
        before = self._known.get(device_id) or self._unknown(device_id)
        link = self._links.get(device_id)
        if link is None:
            return msgspec.structs.replace(before, note=self._why_not(device_id))
        try:
            async with asyncio.timeout(_WAIT_S):
                said = await self._asking(device_id, link)
        except TimeoutError:
            return msgspec.structs.replace(before, note="it does not answer")
        except EdgeConsoleError as error:
            return msgspec.structs.replace(before, note=error.message)
        self._known[device_id] = said
        return said
