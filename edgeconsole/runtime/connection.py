"""The agent's websocket connection: whole messages straight to a callback, and straight out.

The library's own way parses in generators, queues each message for a task and sends each answer
through a context; at thousands of small messages a second that is most of the supervisor's time.
Here whole data frames are cut out of the stream first (RFC 6455, section 5.2). All else stays the
library's: the handshake, control frames, fragmented messages, limits, errors, closing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

try:
    from websockets.speedups import apply_mask
except ImportError:  # Its C extension is not built everywhere.
    from websockets.utils import apply_mask

_HIGH_WATER_BYTES: Final = 64 * 1024
_MEDIUM: Final = struct.Struct(">BBH")
_LARGE: Final = struct.Struct(">BBQ")
_LENGTH_16: Final = struct.Struct(">H")
_LENGTH_64: Final = struct.Struct(">Q")
_FIN: Final = 0x80
_WHOLE_TEXT: Final = _FIN | Opcode.TEXT
_WHOLE_BINARY: Final = _FIN | Opcode.BINARY
_MASKED: Final = 0x80
_FIRST_BYTES: Final = frozenset(flags | opcode for flags in range(0, 256, 16) for opcode in Opcode)
"""Of frames whose opcode is known; whatever else begins one is wrong, however it goes on."""
_SMALL: Final = 4096
"""Below this a copy costs less than a view."""
_END_OF_HANDSHAKE: Final = b"\r\n\r\n"


class DirectConnection(ServerConnection):
    """A server connection with a short way in and out."""

    on_lost: Callable[[], None] | None = None
    """Called when the connection has ended."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._take: Callable[[str | bytes], None] | None = None
        self._cuts_frames = False
        self._at_frame = True
        """Whether the library's parser has had nothing but the handshake and whole frames."""
        self._rest = bytearray()
        self._need = 0

    def take_with(self, take: Callable[[str | bytes], None] | None) -> None:
        """Have each message that comes in one frame handed to `take`; the others are queued."""
        self._take = take
        self._cuts_frames = take is not None and self._at_frame

    def data_received(self, data: bytes) -> None:
        """Cut whole data frames out of the stream; give everything else to the library."""
        if not self._cuts_frames:
            self._give_all(data)
            return
        received: bytes | bytearray = data
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            received, self._rest = self._rest, bytearray()
        self._cut(received)

    def _cut(self, received: bytes | bytearray) -> None:
        start, size = 0, len(received)
        protocol = self.protocol
        while start < size:
            if size - start < 2:
                return self._keep(received, start, 2)
            first, second = received[start], received[start + 1]
            if first not in _FIRST_BYTES or not second & _MASKED:
                return self._give_up(received, start)
            length, body = second & 0x7F, start + 6
            if length > 125:
                body += 2 if length == 126 else 8
                if size < body:
                    return self._keep(received, start, body - start)
                unpack = _LENGTH_16 if length == 126 else _LENGTH_64
                (length,) = unpack.unpack_from(received, start + 2)
            limit = protocol.max_message_size
            if limit is not None and length > limit:
                return self._give_up(received, start)
            end = body + length
            if end > size:
                return self._keep(received, start, end - start)
            take = self._take
            # Between the parts of a message, and once the connection closes, the library decides.
            if (
                first not in (_WHOLE_BINARY, _WHOLE_TEXT)
                or take is None
                or protocol.current_size is not None
                or protocol.state is not State.OPEN
            ):
                super().data_received(bytes(received[start:end]))
            else:
                payload = _unmask(received, body, end)
                # Text that is not UTF-8 is not JSON either: the decoder says so.
                take(
                    payload if first == _WHOLE_BINARY else payload.decode(errors="surrogateescape")
                )
            start = end
        return None

    def _keep(self, received: bytes | bytearray, start: int, need: int) -> None:
        """Keep the beginning of a frame until `need` bytes of it are there."""
        self._rest += memoryview(received)[start:]
        self._need = need

    def _give_up(self, received: bytes | bytearray, start: int) -> None:
        """Let the library have the rest: it ends the connection, and the library knows how."""
        self._cuts_frames = self._at_frame = False
        self._give_all(bytes(received[start:]))

    def _give_all(self, data: bytes) -> None:
        """Let the library parse; notes whether more than the handshake was in it."""
        was_asked = self.request is not None
        super().data_received(data)
        only_handshake = data.find(_END_OF_HANDSHAKE) == len(data) - len(_END_OF_HANDSHAKE)
        if was_asked or (self.request is not None and not only_handshake):
            self._at_frame = False

    def process_event(self, event: Event) -> None:
        """Hand over a whole message that the library parsed; leave everything else to it."""
        take = self._take
        if take is None or not isinstance(event, Frame) or not event.fin:
            super().process_event(event)
        elif event.opcode is Opcode.BINARY:
            take(bytes(event.data))
        elif event.opcode is Opcode.TEXT:
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


def _unmask(received: bytes | bytearray, body: int, end: int) -> bytes:
    """Return a frame's payload; its mask lies in the four bytes before it."""
    mask = bytes(received[body - 4 : body])
    if end - body < _SMALL:
        return apply_mask(received[body:end], mask)
    return apply_mask(memoryview(received)[body:end], mask)


def _header(opcode: Opcode, size: int) -> bytes:
    """Return the header of a whole, unmasked frame (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((_FIN | opcode, size))
    if size < 1 << 16:
        return _MEDIUM.pack(_FIN | opcode, 126, size)
    return _LARGE.pack(_FIN | opcode, 127, size)
