"""The clients that put load on servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.clients import run_closed, run_open
from benchmarks.jobs import HTTP, WEBSOCKET, ClosedLoop, Endpoint, Group, OpenLoop
from benchmarks.wire import connection_class

Reply = Callable[[bytes], bytes | str]


@asynccontextmanager
async def websocket_server(reply: Reply) -> AsyncIterator[int]:
    """Serve websockets that answer every message with `reply`."""

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            assert isinstance(message, bytes)
            await connection.send(reply(message))

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def http_server(status: int, chunk: int = 1 << 20) -> AsyncIterator[int]:
    """Serve HTTP that sends every body back, in pieces of `chunk` bytes."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                body = await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
                reply = (
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
                )
                for at in range(0, len(reply), chunk):
                    writer.write(reply[at : at + chunk])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


async def ask(endpoint: Endpoint, payload: bytes) -> tuple[bool, bytes]:
    """Send one request and return its reply."""
    reply: asyncio.Future[tuple[bool, bytes]] = asyncio.get_running_loop().create_future()
    connection = await connection_class(endpoint.transport).open(
        endpoint, lambda _, good, body: reply.set_result((good, body)), lambda _: None
    )
    connection.send(connection.wrap(payload))
    try:
        return await asyncio.wait_for(reply, 10)
    finally:
        connection.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
async def test_websocket_messages_of_every_length_form_come_back_whole(size: int) -> None:
    """Frames with 7, 16 and 64 bits of length are written and read, also in many pieces."""
    payload = bytes(index % 251 for index in range(size))
    async with websocket_server(bytes) as port:
        assert await ask(Endpoint(port, WEBSOCKET), payload) == (True, payload)


async def test_a_text_message_is_a_refusal() -> None:
    """Our agent refuses in text what was asked in binary."""
    async with websocket_server(lambda _: "no") as port:
        assert await ask(Endpoint(port, WEBSOCKET), b"x") == (False, b"no")


@pytest.mark.parametrize("chunk", [1 << 20, 7])
async def test_http_replies_are_read_whole_however_they_arrive(chunk: int) -> None:
    """Only status 200 is an answer; the body is what the length says."""
    async with http_server(200, chunk) as port:
        assert await ask(Endpoint(port, HTTP), b"body" * 50) == (True, b"body" * 50)
    async with http_server(503, chunk) as port:
        assert await ask(Endpoint(port, HTTP), b"body") == (False, b"body")


async def test_a_refused_handshake_fails_at_once() -> None:
    """A server that does not speak websocket is an error, not a wait."""
    async with http_server(200) as port:
        server = Endpoint(port, WEBSOCKET)
        with pytest.raises((ConnectionError, TimeoutError)):
            await asyncio.wait_for(ask(server, b"x"), 1)


async def test_closed_loop_clients_count_answers_and_refusals_apart() -> None:
    """Two groups run side by side; each has its own outcome."""
    async with websocket_server(bytes) as good, websocket_server(lambda _: "no") as bad:
        groups = (
            Group(Endpoint(good, WEBSOCKET), b"x", 2),
            Group(Endpoint(bad, WEBSOCKET), b"x", 1),
        )
        answered, refused = await run_closed(ClosedLoop(groups, warm_s=0.01, seconds=0.1))
    assert answered.took_ns
    assert len(answered.took_ns) == len(answered.ended_ns)
    assert not answered.refused_ns
    assert refused.refused_ns
    assert not refused.took_ns
    assert refused.first_refusal == "no"
    assert answered.rate_per_s == pytest.approx(len(answered.took_ns) / 0.1)


async def test_open_loop_arrivals_do_not_wait_for_answers() -> None:
    """All arrivals are sent, over one connection by id or over a pool of them."""
    async with websocket_server(lambda message: b'{"id":"' + message[:8] + b'"}') as port:
        job = OpenLoop(Endpoint(port, WEBSOCKET), b"00000000", 0, 500.0, 0.2, 2, 1.0, seed=3)
        (by_id,) = await run_open(job)
    async with http_server(200) as port:
        job = OpenLoop(Endpoint(port, HTTP), b"00000000", -1, 500.0, 0.2, 2, 1.0, seed=3)
        (pooled,) = await run_open(job)
    assert len(by_id.took_ns) == len(pooled.took_ns) > 20
    assert by_id.unanswered == pooled.unanswered == 0


async def test_what_is_never_answered_is_counted() -> None:
    """An open loop ends although nothing comes back."""
    async with websocket_server(lambda _: b'{"id":"????????"}') as port:
        job = OpenLoop(Endpoint(port, WEBSOCKET), b"00000000", 0, 200.0, 0.1, 1, 0.05, seed=3)
        (outcome,) = await run_open(job)
    assert outcome.unanswered > 0
    assert not outcome.took_ns
