"""Bad clients, as a process: `python -m faults.flood`, with a `Flood` as its only argument.

It writes what it did as one JSON line.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
from websockets.frames import Frame, Opcode

from edgeconsole.protocol.control import CONTROL_PATH, INFER_PATH, GetStatus, encode
from edgeconsole.protocol.inference import ClientFrame, RequestParameters, encode_request
from faults.models import STANDBY, rows
from faults.mutate import mutate

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ROUND: Final = 40
"""Messages on their way at once on a connection."""
_PAUSE_S: Final = 0.004
"""Between rounds: it is the bytes that are to hurt, not the number of them."""
_PATIENCE_S: Final = 0.25
_LITTLE_PATIENCE_S: Final = 0.02
"""Where no answer is to be expected."""


class Flood(msgspec.Struct, frozen=True):
    """What to do, to whom, and how much of it."""

    url: str
    token: str
    kind: Literal["messages", "frames", "handshakes", "connections", "slow"]
    count: int
    seconds: float
    seed: int


class Report(msgspec.Struct, frozen=True):
    """How much was done."""

    sent: int
    connections: int


class Flooder:
    """One bad client, or many."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._rng = random.Random(flood.seed)
        self._host, port = urlsplit(flood.url).netloc.split(":")
        self._port = int(port)
        self._until_s = time.monotonic() + flood.seconds
        self.sent = 0
        self.connections = 0

    async def run(self) -> Report:
        """Do it; returns how much was done."""
        match self._flood.kind:
            case "messages":
                await self._messages()
            case "frames":
                await self._frames()
            case "handshakes":
                await self._handshakes()
            case "connections":
                await self._connections()
            case "slow":
                await self._slow()
        return Report(self.sent, self.connections)

    @property
    def _more(self) -> bool:
        return self.sent < self._flood.count and time.monotonic() < self._until_s

    def _bases(self) -> list[tuple[str, bool, bytes]]:
        """Return good messages: the path, whether it is text, and the bytes.

        They are for the model that does not do what it is told: mutated values are to hurt nobody.
        """
        parameters = RequestParameters(deadline_ms=20.0, priority=1)
        frame = ClientFrame(model_name=STANDBY, id="flood", parameters=parameters)
        x = {"x": rows(1, turns=0.0)}
        text, binary = (encode_request(frame, x, binary=binary) for binary in (False, True))
        assert isinstance(text, str)
        assert isinstance(binary, bytes)
        status = encode(GetStatus(id="flood")).encode()
        return [
            (INFER_PATH, True, text.encode()),
            (INFER_PATH, False, binary),
            (CONTROL_PATH, True, status),
        ]

    async def _messages(self) -> None:
        """Send mutated messages in good frames."""
        bases = self._bases()
        others = [base for _, _, base in bases]
        while self._more:
            path, is_text, base = self._rng.choice(bases)
            opcode = Opcode.TEXT if is_text else Opcode.BINARY
            async with self._open(path) as stream:
                if stream is None:
                    continue
                reader, writer = stream
                for _ in range(20):
                    for _ in range(_ROUND):
                        data = mutate(self._rng, base, others)
                        writer.write(Frame(opcode, data).serialize(mask=True))
                    self.sent += _ROUND
                    await asyncio.sleep(_PAUSE_S)
                    if not await _goes_on(reader, writer):
                        break

    async def _frames(self) -> None:
        """Send frames whose own bytes are mutated: opcodes, lengths, masks."""
        bases = self._bases()
        others = [base for _, _, base in bases]
        while self._more:
            path, is_text, base = self._rng.choice(bases)
            opcode = Opcode.TEXT if is_text else Opcode.BINARY
            whole = Frame(opcode, base[:200]).serialize(mask=True)
            async with self._open(path) as stream:
                if stream is None:
                    continue
                reader, writer = stream
                for _ in range(8):
                    head = mutate(self._rng, whole[:14], others)
                    writer.write(head + whole[14:])
                self.sent += 8
                await asyncio.sleep(_PAUSE_S)
                await _goes_on(reader, writer, _LITTLE_PATIENCE_S)

    async def _handshakes(self) -> None:
        """Send mutated requests for a websocket."""
        while self._more:
            good = self._handshake(INFER_PATH)
            async with self._connect() as stream:
                if stream is None:
                    continue
                reader, writer = stream
                writer.write(mutate(self._rng, good, [good]))
                self.sent += 1
                if self._rng.random() < 0.5:
                    writer.write_eof()
                    await _goes_on(reader, writer, _LITTLE_PATIENCE_S)

    async def _connections(self) -> None:
        """Open connections and leave them half open, shut them at once, or come without a token."""
        held: list[asyncio.StreamWriter] = []
        while self._more:
            try:
                _, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            self.connections += 1
            self.sent += 1
            match self._rng.randrange(3):
                case 0:
                    writer.write(b"GET /v1/infer HT")
                    held.append(writer)
                case 1:
                    writer.close()
                case _:
                    writer.write(self._handshake(INFER_PATH, token=self._flood.token[::-1]))
                    held.append(writer)
            if len(held) > 300:
                held.pop(0).close()
            await asyncio.sleep(0.002)
        for writer in held:
            writer.close()

    async def _slow(self) -> None:
        """Ask for much on five connections and read nothing."""
        frame = ClientFrame(
            model_name=STANDBY, id="slow", parameters=RequestParameters(deadline_ms=5000.0)
        )
        request = encode_request(frame, {"x": rows(256, turns=0.0)})
        assert isinstance(request, bytes)
        async with contextlib.AsyncExitStack() as stack:
            writers = []
            for _ in range(5):
                stream = await stack.enter_async_context(self._open(INFER_PATH, narrow=True))
                if stream is not None:
                    writers.append(stream[1])
            data = Frame(Opcode.BINARY, request).serialize(mask=True)
            while self._more:
                for writer in writers:
                    transport = writer.transport
                    if not transport.is_closing() and transport.get_write_buffer_size() < 1 << 20:
                        writer.write(data)
                        self.sent += 1
                await asyncio.sleep(0.01)

    def _handshake(self, path: str, token: str | None = None) -> bytes:
        key = base64.b64encode(self._rng.randbytes(16)).decode()
        return (
            f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {token or self._flood.token}\r\n\r\n"
        ).encode()

    @contextlib.asynccontextmanager
    async def _connect(self, *, narrow: bool = False) -> AsyncIterator[Stream | None]:
        sock = socket.socket()
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self._host, self._port))
            reader, writer = await asyncio.open_connection(
                sock=sock, limit=4096 if narrow else 65536
            )
        except OSError:
            sock.close()
            await asyncio.sleep(0.01)
            yield None
            return
        self.connections += 1
        try:
            yield reader, writer
        finally:
            # The agent may have hung up, which is its right.
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def _open(self, path: str, *, narrow: bool = False) -> AsyncIterator[Stream | None]:
        async with self._connect(narrow=narrow) as stream:
            if stream is None:
                yield None
                return
            reader, writer = stream
            writer.write(self._handshake(path))
            try:
                async with asyncio.timeout(2.0):
                    head = await reader.readuntil(b"\r\n\r\n")
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                head = b""
            yield stream if b" 101 " in head else None


async def _goes_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience_s: float = _PATIENCE_S
) -> bool:
    """Read what comes for a moment; says whether the connection still stands."""
    try:
        async with asyncio.timeout(patience_s):
            await writer.drain()
            return bool(await reader.read(1 << 20))
    except TimeoutError:
        return True
    except OSError:
        return False


async def main() -> int:
    """Do what the argument says."""
    flood = msgspec.json.decode(sys.argv[1], type=Flood)
    report = await Flooder(flood).run()
    print(msgspec.json.encode(report).decode())
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
