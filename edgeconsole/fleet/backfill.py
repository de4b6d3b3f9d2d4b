"""Fetches what devices kept while nobody listened, at a pace that leaves live telemetry alone.

A device is asked when its link becomes live, and every two minutes after that: the next question says that
what came before is in the history, so that the device may remove it. What is killed on the way is asked
for again. How fast it goes is `pace`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from edgeconsole.errors import (
    BlockFormatError,
    ErrorCode,
    LinkError,
    ProtocolError,
    RequestError,
    StoreError,
)
from edgeconsole.fleet import late
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.late import LateBlock
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.pace import Pace
from edgeconsole.protocol.backlog import unpack
from edgeconsole.protocol.control import Backfill, BackfillReply, StoredBlock

_log = logging.getLogger("edgeconsole.fleet")

LOOK_S: Final = 0.5
EVERY_S: Final = 120.0
"""How often a device that has told everything is asked again; a fifth more or less, by chance."""
PAUSE_S: Final = 10.0
"""How long a device is left alone that could not tell, unless it connects anew."""
NEWS: Final = 3
"""Fewer new samples than this are those that are on their way live, and are in the charts already."""
AT_ONCE: Final = 4
"""Devices that are asked at the same time."""
BLOCKS: Final = 32
"""Of one reply: half an hour of a device, some 50 KB."""


class Backfiller:
    """Asks every device whose link is live."""

    def __init__(
        self,
        history: Path,
        links: OpenLinks,
        filled: Callable[[str], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make it; `filled` is awaited when a device has told something that was missing."""
        self._history = history
        self._links = links
        self._filled = filled
        self._clock = clock
        self._rest = rest
        self._busy: set[str] = set()
        self._free = asyncio.Event()
        """Set when a visit is over and another one may begin."""
        self._due: dict[str, tuple[ControlLink, float]] = {}
        self.problem = ""
        """Why nothing is fetched at the moment; empty while all is well."""

    async def run(self, device_ids: Sequence[str]) -> None:
        """Fetch what is missing, for ever."""
        sink = await self._sink()
        async with asyncio.TaskGroup() as visits:
            while True:
                self._free.clear()
                for device_id in device_ids:
                    if len(self._busy) >= AT_ONCE:
                        break
                    link = self._links.get(device_id)
                    if link is None or not self._is_due(device_id, link):
                        continue
                    self._busy.add(device_id)
                    visit = self._visit(sink, device_id, link)
                    visits.create_task(visit, name=f"backfill {device_id}")
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._free.wait()
                except TimeoutError:
                    continue

    async def _sink(self) -> str:
        while True:
            try:
                return await asyncio.to_thread(late.sink_id, self._history)
            except StoreError as error:
                self.problem = error.message
            await asyncio.sleep(PAUSE_S)

    def _is_due(self, device_id: str, link: ControlLink) -> bool:
        if device_id in self._busy:
            return False
        known, due_s = self._due.get(device_id, (None, 0.0))
        return known is not link or self._clock() >= due_s

    async def _visit(self, sink: str, device_id: str, link: ControlLink) -> None:
        wait_s = PAUSE_S
        try:
            new = await self.fetch(sink, device_id, link)
            wait_s = EVERY_S * random.uniform(0.8, 1.2)
            self.problem = ""
            if new >= NEWS:
                await self._filled(device_id)
        except BlockFormatError as error:
            self.problem = f"{device_id}: {error}"
            wait_s = EVERY_S
        except ProtocolError:
            # An agent from before the backlog: live telemetry is all it has.
            wait_s = float("inf")
        except StoreError as error:
            self.problem = error.message
        except (LinkError, RequestError) as error:
            _log.debug("%s cannot tell what it kept: %s", device_id, error)
        except Exception:  # noqa: BLE001
            # One device's oddity must not keep the others from telling.
            _log.exception("what %s kept could not be fetched", device_id)
        finally:
            self._due[device_id] = (link, self._clock() + wait_s)
            self._busy.discard(device_id)
            self._free.set()

    async def fetch(self, sink: str, device_id: str, link: ControlLink) -> int:
        """Fetch all that a device has for us; returns how many samples were new.

        Raises:
            LinkError: the connection broke.
            RequestError: the device cannot tell now.
            ProtocolError: it does not know the question, or answers in a format to come.
            StoreError: the history refused; the device keeps what was not written.
        """
        new = 0
        pace = Pace.begun(self._clock())
        boot_id, seq = await asyncio.to_thread(late.cursor, self._history, device_id)
        while True:
            try:
                reply = await _ask(link, sink, boot_id, seq)
            except RequestError as error:
                if error.code is not ErrorCode.BAD_CURSOR or not boot_id:
                    raise
                # Its backlog is another one than last time: begin at its oldest record.
                _log.warning("%s does not know our cursor: %s", device_id, error)
                await asyncio.to_thread(late.forget_cursor, self._history, device_id)
                boot_id, seq = "", 0
                continue
            if not reply.blocks:
                return new
            more, pace = await self._write_in_pieces(device_id, reply, pace)
            new += more
            boot_id, seq = reply.blocks[-1].boot_id, reply.blocks[-1].last
            if not reply.more:
                return new

    async def _write_in_pieces(
        self, device_id: str, reply: BackfillReply, pace: Pace
    ) -> tuple[int, Pace]:
        """Write a reply at a pace; returns how many samples were new, and the pace from here."""
        new, written = 0, 0
        while written < len(reply.blocks):
            piece = reply.blocks[written : written + pace.piece]
            began_s = self._clock()
            new += await asyncio.to_thread(self._write, device_id, piece)
            now_s = self._clock()
            written += len(piece)
            here = len(reply.blocks) - written
            beyond = reply.left if reply.more else 0
            left = None if beyond is None else here + beyond
            pace = pace.after(len(piece), now_s - began_s, now_s, left)
            if here or reply.more:
                await self._rest(pace.rest_s)
        return new, pace

    def _write(self, device_id: str, blocks: Sequence[StoredBlock]) -> int:
        """Unpack and write; in a thread."""
        found: list[LateBlock] = []
        for each in blocks:
            try:
                block = unpack(each.data)
            except BlockFormatError:
                raise
            except ProtocolError as error:
                # It will never be readable: go on, the rest is.
                _log.warning("%s: records up to %d are lost: %s", device_id, each.last, error)
                block = None
            found.append(LateBlock(each.boot_id, each.last, block))
        return late.write(self._history, device_id, found)


async def _ask(link: ControlLink, sink: str, boot_id: str, seq: int) -> BackfillReply:
    try:
        reply = await link.ask(Backfill(link.next_id(), sink, boot_id, seq, BLOCKS))
    except RequestError as error:
        if error.code is ErrorCode.MALFORMED:
            raise ProtocolError(f"{link.url} keeps no telemetry for us") from error
        raise
    if not isinstance(reply, BackfillReply):
        raise ProtocolError(f"{link.url} answered a question with {type(reply).__name__}")
    return reply
