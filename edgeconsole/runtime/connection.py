"""The agent's websocket connection: whole messages straight to a callback, and straight out.

The library's own way queues each message for a task and sends each answer through a context; at
thousands of small messages a second that is half of the supervisor's time. Control frames,
fragmented messages, closing and limits stay the library's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

_DIRECT: Final = (Opcode.TEXT, Opcode.BINARY)
_HIGH_WATER_BYTES: Final = 64 * 1024
_MEDIUM: Final = struct.Struct(">BBH")
_LARGE: Final = struct.Struct(">BBQ")
_FIN: Final = 0x80


class DirectConnection(ServerConnection):
    """A server connection with a short way in and out."""

    take: Callable[[str | bytes], None] | None = None
    """Gets each message that comes in one frame; the others, and all without it, are queued."""

    on_lost: Callable[[], None] | None = None
    """Called when the connection has ended."""

    def process_event(self, event: Event) -> None:
        """Hand a whole message over at once; leave everything else to the library."""
        take = self.take
        if take is None or not isinstance(event, Frame) or not event.fin:
            super().process_event(event)
        elif event.opcode is Opcode.BINARY:
            take(bytes(event.data))
        elif event.opcode is Opcode.TEXT:
            # Text that is not UTF-8 is not JSON either: the decoder says so.
            take(bytes(event.data).decode(errors="surrogateescape"))
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for room that there is nobody left to wait for."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def send_now(self, message: str | bytes) -> bool:
        """Write a message if the peer keeps up; says whether it was written."""
        if self.protocol.state is not State.OPEN:
            return False
        transport = self.transport
        if transport.get_write_buffer_size() > _HIGH_WATER_BYTES:
            return False
        if isinstance(message, str):
            opcode, data = Opcode.TEXT, message.encode()
        else:
            opcode, data = Opcode.BINARY, message
        transport.write(_header(opcode, len(data)) + data)
        return True


def _header(opcode: Opcode, size: int) -> bytes:
    """Return the header of a whole, unmasked frame (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((_FIN | opcode, size))
    if size < 1 << 16:
        return _MEDIUM.pack(_FIN | opcode, 126, size)
    return _LARGE.pack(_FIN | opcode, 127, size)
