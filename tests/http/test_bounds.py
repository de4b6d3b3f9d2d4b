"""Peers that are slow, that do not read, or that meet a defect of ours: each costs only itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from edgeconsole.runtime.http import connection, inference, models
from edgeconsole.runtime.http.server import HttpServer
from edgeconsole.specs import EdgeAgentConfig, HttpConfig

TOKEN = "t" * 43
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """Return a listening HTTP server of an agent that has nothing else."""
    agent = SimpleNamespace(config=EdgeAgentConfig(agent_id="a"), engine=None)
    found = HttpServer(agent, HttpConfig(port=0), TOKEN)  # type: ignore[arg-type]
    await found.start()
    yield found
    await found.stop()


async def connect(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection."""
    return await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_request_that_does_not_arrive_is_given_up(server, monkeypatch):
    """A client that stops in the middle of its body gets a typed 408."""
    monkeypatch.setattr(inference, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await connect(server)
    path = "/v2/models/digits/infer"
    writer.write(f"POST {path} HTTP/1.1\r\n{HEAD}Content-Length: 9\r\n\r\n{{".encode())
    reply = await reader.read()
    writer.close()
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"DEADLINE_EXCEEDED"' in reply


async def test_a_client_may_ask_before_it_sends(server):
    """`Expect: 100-continue` is answered, and only where the body will be read."""
    path = "/v2/models/digits/infer"
    for length, status in ((1, b"HTTP/1.1 100 "), (1 << 30, b"HTTP/1.1 413 ")):
        reader, writer = await connect(server)
        head = f"{HEAD}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{head}".encode())
        assert (await reader.readline()).startswith(status)
        writer.close()


async def test_a_peer_that_does_not_read_is_cut_off(server, monkeypatch, eventually):
    """Its answer waits for a bounded time, then the connection is gone."""
    monkeypatch.setattr(connection, "WRITE_DEADLINE_S", 0.05)
    monkeypatch.setattr(models, "server_metadata", lambda: "x" * 50_000_000)
    reader, writer = await connect(server)
    writer.write(f"GET /v2 HTTP/1.1\r\n{HEAD}\r\n".encode())
    await eventually(lambda: server._connections.requests_count == 1)
    await eventually(lambda: not server._connections.connections)
    received = 0
    try:
        while chunk := await reader.read(1 << 20):
            received += len(chunk)
    except ConnectionResetError:
        pass
    assert received < 50_000_000
    writer.close()


async def test_a_defect_of_ours_is_typed_and_logged(server, monkeypatch, caplog):
    """The peer gets INTERNAL without a stack trace; the log has it."""

    def broken() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(models, "server_metadata", broken)
    reader, writer = await connect(server)
    writer.write(f"GET /v2 HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
    reply = await reader.read()
    writer.close()
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b'"code":"INTERNAL"' in reply
    assert b"secret" not in reply
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    "line", ["OPTIONS * HTTP/1.1", "CONNECT evil:80 HTTP/1.1", "GET //v2//x HTTP/1.1"]
)
async def test_odd_targets_get_a_typed_refusal(server, line):
    """Whatever form a target has, the answer is a typed one of the 4xx."""
    reader, writer = await connect(server)
    writer.write(f"{line}\r\n{HEAD}Connection: close\r\n\r\n".encode())
    reply = await reader.read()
    writer.close()
    assert reply.split()[1].startswith(b"4"), reply
    assert b'"code":"MALFORMED"' in reply
