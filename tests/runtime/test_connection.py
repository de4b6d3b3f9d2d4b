"""Frames cut from the stream are the frames the library would have found."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State

from edgeconsole.runtime.connection import DirectConnection

LIMIT: Final = 100_000
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"\x01\x02\x03\x04"
) -> bytes:
    """Return a client's frame (RFC 6455, section 5.2)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack(">BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack(">BQ", 0x80 | 127, len(payload))
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Pair:
    """A client and the server's end of its connection."""

    def __init__(self, client: ClientConnection, server: DirectConnection) -> None:
        self.client = client
        self.server = server
        self.taken: list[str | bytes] = []

    def start(self, *, cuts: bool = True) -> None:
        """Have messages taken; without `cuts` the library finds them."""
        if not cuts:
            self.server._at_frame = False
        self.server.take_with(self.taken.append)

    def feed(self, data: bytes, sizes: Sequence[int] = ()) -> None:
        """Let bytes arrive in pieces of these sizes, the rest in one."""
        for size in sizes:
            if data:
                self.server.data_received(data[:size])
                data = data[size:]
        if data:
            self.server.data_received(data)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Connect a client to a server that takes messages directly."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[DirectConnection] = loop.create_future()

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, DirectConnection)
        arrived.set_result(connection)
        await connection.wait_closed()

    async with (
        serve(
            handle,
            "127.0.0.1",
            0,
            create_connection=DirectConnection,
            compression=None,
            max_size=LIMIT,
            ping_interval=None,
            close_timeout=1,
        ) as server,
        connect(
            f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}",
            compression=None,
            ping_interval=None,
            close_timeout=1,
        ) as client,
    ):
        yield Pair(client, await arrived)


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just(BINARY), st.binary(max_size=300)),
        st.tuples(st.just(TEXT), st.text(max_size=100).map(str.encode)),
        st.tuples(st.just(BINARY), st.sampled_from([125, 126, 65_535, 65_536]).map(bytes)),
        st.tuples(st.just(TEXT), st.just(b"\xff\xfe")),
        st.tuples(st.just(PONG), st.binary(max_size=125)),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(MESSAGES, st.lists(st.integers(1, 400), max_size=60), st.binary(min_size=4, max_size=4))
def test_messages_are_the_same_however_they_arrive(
    messages: list[tuple[int, bytes]], sizes: list[int], mask: bytes
) -> None:
    """Pieces of any size give the messages that were sent, in order, as the library finds them."""
    stream = b"".join(frame(opcode, payload, mask=mask) for opcode, payload in messages)
    expected = [
        payload if opcode == BINARY else payload.decode(errors="surrogateescape")
        for opcode, payload in messages
        if opcode in {BINARY, TEXT}
    ]

    async def run(*, cuts: bool) -> list[str | bytes]:
        async with pair() as ends:
            ends.start(cuts=cuts)
            assert ends.server._cuts_frames == cuts
            ends.feed(stream, sizes)
            return ends.taken

    assert asyncio.run(run(cuts=True)) == expected
    assert asyncio.run(run(cuts=False)) == expected


async def test_pings_between_messages_are_answered() -> None:
    """Control frames go to the library, and messages around them are not lost."""
    async with pair() as ends:
        ends.start()
        pong = await ends.client.ping(b"here")
        assert await asyncio.wait_for(pong, 5) >= 0
        ends.feed(frame(BINARY, b"a") + frame(PONG, b"unasked") + frame(BINARY, b"b"), [9, 1, 1])
        assert ends.taken == [b"a", b"b"]


async def test_parts_of_a_message_are_put_together_by_the_library() -> None:
    """A message in parts is read from the connection; whole ones before and after are taken."""
    async with pair() as ends:
        ends.start()
        parts = (
            frame(BINARY, b"one ", fin=False)
            + frame(PONG, b"")
            + frame(0, b"two ", fin=False)
            + frame(0, b"3")
        )
        ends.feed(frame(BINARY, b"before") + parts + frame(BINARY, b"after"), [11, 7, 2, 1, 1, 1])
        assert ends.taken == [b"before", b"after"]
        assert await asyncio.wait_for(ends.server.recv(), 5) == b"one two 3"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, bytes(LIMIT + 1))[:10], 1009),
        (b"\x82\x02ab", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\xc2\x80\x00\x00\x00\x00", 1002),
        (frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002),
        (frame(0, b"x"), 1002),
        (b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + bytes(126), 1002),
    ],
    ids=[
        "too large",
        "not masked",
        "unknown opcode",
        "reserved bit",
        "parts mixed",
        "no start",
        "long ping",
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(data: bytes, code: int) -> None:
    """With the close code of the library; what was whole before it was taken."""
    async with pair() as ends:
        ends.start()
        ends.feed(frame(BINARY, b"good") + data + frame(BINARY, b"never"))
        with pytest.raises(ConnectionClosedError) as caught:
            await asyncio.wait_for(ends.client.recv(), 5)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code
        assert ends.taken == [b"good"]


async def test_a_client_that_closes_is_answered() -> None:
    """The closing handshake is the library's, and nothing is taken after it."""
    async with pair() as ends:
        ends.start()
        await ends.client.send(b"last")
        await ends.client.close(1000)
        await asyncio.wait_for(ends.server.wait_closed(), 5)
        assert ends.taken == [b"last"]
        assert ends.server.close_code == 1000


async def test_a_client_that_speaks_early_is_heard() -> None:
    """Bytes that came with the handshake, a part of a frame too, leave the finding to the library."""
    heard: list[str | bytes] = []
    ready, gone = asyncio.Event(), asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, DirectConnection)
        connection.take_with(heard.append)
        assert not connection._cuts_frames
        ready.set()
        heard.extend([message async for message in connection])
        gone.set()

    options = {"create_connection": DirectConnection, "compression": None}
    async with serve(handle, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = frame(BINARY, b"early \r\n\r\n", mask=bytes(4))
        handshake = (
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: ZWRnZWNvbnNvbGV0ZXN0cw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        writer.write(handshake + whole)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(ready.wait(), 5)
        writer.write(frame(TEXT, b"later"))
        writer.write(frame(CLOSE, struct.pack(">H", 1000)))
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)
    assert sorted(map(str, heard)) == sorted(map(str, [b"early \r\n\r\n", "later"]))


@pytest.mark.parametrize("begin", [bytes([0x82, 0x7E]), bytes([0x83, 0xFE]), bytes([0x82, 0x05])])
async def test_a_frame_that_begins_wrong_is_not_waited_for(begin: bytes) -> None:
    """Two bytes tell: no mask, or an unknown opcode. The rest need not come."""
    for cuts in (True, False):
        async with pair() as ends:
            ends.start(cuts=cuts)
            ends.feed(frame(BINARY, b"good") + begin)
            assert ends.taken == [b"good"]
            assert ends.server.protocol.state is State.CLOSING
            ends.client.transport.abort()


async def test_random_streams_end_in_an_answer_or_a_close() -> None:
    """Noise never raises; cut or found by the library, the same messages come before it ends."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(60):
        noise = bytearray(frame(BINARY, chance.randbytes(20)) * 3)
        for _ in range(chance.randint(1, 4)):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        sizes = [chance.randint(1, 30) for _ in range(4)]
        async with pair() as cut, pair() as found:
            cut.start()
            found.start(cuts=False)
            for ends in (cut, found):
                ends.feed(bytes(noise), sizes)
                ends.client.transport.abort()
            assert cut.taken == found.taken
            assert cut.server.protocol.state is found.server.protocol.state
