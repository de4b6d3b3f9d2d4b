"""Client connections as cheap as asyncio allows, so that servers are measured and not clients.

All systems are driven by the same code: requests are prepared bytes, replies are recognised but not
decoded. The websocket half masks with a key of zeros, which leaves prepared frames as they are;
servers unmask them all the same.
"""

from __future__ import annotations

import asyncio
import importlib
import struct
from collections.abc import Callable
from typing import Final, Self, cast

from benchmarks.jobs import Endpoint

_OPEN_TIMEOUT_S: Final = 10.0
_KEY: Final = "ZWRnZWNvbnNvbGViZW5jaA=="
_BINARY: Final = 2
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10

Take = Callable[["Connection", bool, bytes], None]
Lost = Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """One connection; `take` gets whether a reply is an answer, and its body."""

    def __init__(self, endpoint: Endpoint, take: Take, lost: Lost) -> None:
        self.endpoint = endpoint
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._lost = lost
        self._rest = bytearray()
        self._need = 0
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, endpoint: Endpoint, take: Take, lost: Lost) -> Self:
        """Connect; raises `OSError` (or its `TimeoutError`) if the server is not there."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: cls(endpoint, take, lost), "127.0.0.1", endpoint.port
            )
            await connection.opened
        return connection

    def wrap(self, payload: bytes) -> bytes:
        """Return a payload as the bytes that `send` takes."""
        raise NotImplementedError

    def send(self, wrapped: bytes) -> None:
        """Send a request; does nothing on a connection that is gone."""
        if self._transport is not None:
            self._transport.write(wrapped)

    def close(self) -> None:
        """End the connection without ado; `lost` is not called."""
        self._lost = _ignore
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection stands; part of `asyncio.Protocol`."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the connection is gone; part of `asyncio.Protocol`."""
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(str(exc or "the server hung up")))
        else:
            self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; part of `asyncio.Protocol`."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        start = 0
        while start < len(data):
            end, good, body = self._read(data, start)
            if end > len(data):
                self._need = end - start
                self._rest += data[start:]
                return
            if good is not None:
                self._take(self, good, data[body:end])
            start = end

    def _read(self, data: bytes, start: int) -> tuple[int, bool | None, int]:
        """Return where the message ends, whether it is a good answer, and where its body starts.

        An end behind the data means: not all there yet. `None` instead of good: not a reply.
        """
        raise NotImplementedError


class HttpConnection(Connection):
    """HTTP/1.1 with keep-alive, one request at a time; replies must state their length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection stands and can be used."""
        super().connection_made(transport)
        self.opened.set_result(None)

    def wrap(self, payload: bytes) -> bytes:
        """Return the payload as the body of a POST."""
        head = (
            f"POST {self.endpoint.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {self.endpoint.content_type}\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        return head.encode() + payload

    def _read(self, data: bytes, start: int) -> tuple[int, bool | None, int]:
        head_end = data.find(b"\r\n\r\n", start)
        if head_end < 0:
            return len(data) + 1, None, 0
        head = data[start:head_end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise ConnectionError(f"a reply does not state its length: {head[:80]!r}")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        body = head_end + 4
        return body + length, head[9:12] == b"200", body


class WebSocketConnection(Connection):
    """A websocket without extensions; binary messages are answers, text messages refusals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake."""
        super().connection_made(transport)
        endpoint = self.endpoint
        token = f"Authorization: Bearer {endpoint.token}\r\n" if endpoint.token else ""
        request = (
            f"GET {endpoint.path} HTTP/1.1\r\nHost: 127.0.0.1:{endpoint.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\n{token}\r\n"
        )
        self.send(request.encode())

    def wrap(self, payload: bytes) -> bytes:
        """Return the payload as one binary message."""
        return _frame(_BINARY, payload)

    def _read(self, data: bytes, start: int) -> tuple[int, bool | None, int]:
        if not self.opened.done():
            return self._read_handshake(data, start)
        if len(data) < start + 2:
            return start + 2, None, 0
        length = data[start + 1]
        body = start + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            body += size
            if len(data) < body:
                return body, None, 0
            length = int.from_bytes(data[start + 2 : body], "big")
        end = body + length
        opcode = data[start] & 0x0F
        if opcode >= _CLOSE:
            if end <= len(data):
                self._control(opcode, data[body:end])
            return end, None, body
        if not data[start] & 0x80:
            raise ConnectionError("the server sent a message in parts")
        return end, opcode == _BINARY, body

    def _read_handshake(self, data: bytes, start: int) -> tuple[int, bool | None, int]:
        end = data.find(b"\r\n\r\n", start)
        if end < 0:
            return len(data) + 1, None, 0
        if data[start + 9 : start + 12] == b"101":
            self.opened.set_result(None)
        else:
            status = data[start : data.find(b"\r\n", start)].decode("latin-1")
            self._lost = _ignore
            self.opened.set_exception(ConnectionError(f"the server refused: {status}"))
        return end + 4, None, 0

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.send(_frame(_PONG, payload))
        elif opcode == _CLOSE and self._transport is not None:
            self._transport.close()


def connection_class(transport: str) -> type[Connection]:
    """Return the connection class that an endpoint names."""
    module, _, name = transport.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    assert issubclass(found, Connection)
    return found


def _frame(opcode: int, payload: bytes) -> bytes:
    head = bytes([0x80 | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += struct.pack(">BH", 0x80 | 126, size)
    else:
        head += struct.pack(">BQ", 0x80 | 127, size)
    return head + bytes(4) + payload


def _ignore(_connection: Connection) -> None:
    return
