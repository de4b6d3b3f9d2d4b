"""Opening a connection: every way to fail has its error, and tries are spread over time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole import transport
from edgeconsole.errors import AuthError, ConfigError, EdgeConsoleError, LinkError
from edgeconsole.transport import Backoff, open_connection, read_token, token_from_environment


@given(
    first_s=st.floats(0.01, 1.0),
    most_s=st.floats(1.0, 60.0),
    tries=st.integers(1, 40),
)
def test_delays_double_with_jitter_up_to_a_limit(first_s: float, most_s: float, tries: int) -> None:
    """The n-th delay is half to all of the doubled first one, and never above the limit."""
    backoff = Backoff(first_s, most_s)
    for number in range(tries):
        whole_s = min(most_s, first_s * 2.0**number)
        assert whole_s / 2 <= backoff.next_s() <= whole_s
    backoff.reset()
    assert backoff.next_s() <= first_s


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:7311",
        "http://127.0.0.1:7311",
        "ws://",
        "ws://:7311",
        "ws://127.0.0.1:99999",
        "ws://127.0.0.1:port",
        "ws://[::1",
        "ws://a..b:1",
        "ws://127.0.0.1:7311#here",
    ],
)
async def test_what_is_no_address_is_a_config_error(url: str) -> None:
    """An address that cannot be one is a mistake in a file, not a matter of time."""
    with pytest.raises(ConfigError, match="is not an agent's address") as caught:
        await open_connection(url, "/v1/control", "token", max_bytes=1024)
    assert repr(url) in caught.value.message


async def test_nobody_listening_is_a_link_error(free_port: int) -> None:
    """The reason is the system's, and the hint asks the right question."""
    with pytest.raises(LinkError, match="Connection refused") as caught:
        await open_connection(f"ws://127.0.0.1:{free_port}", "/", "token", max_bytes=1024)
    assert "is the agent running" in caught.value.hint


async def test_an_unknown_name_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own words are used; its numbers mean something else to the system."""

    async def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(LinkError, match="cannot be reached: Name or service not known"):
        await open_connection("ws://edge.invalid:7311", "/", "token", max_bytes=1024)


def answers(status: int, body: str) -> bytes:
    """Return an HTTP answer."""
    return (
        f"HTTP/1.1 {status} Because\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        f"{body}"
    ).encode()


REFUSED = (AuthError, "HTTP status 401", "")
SAID = '{"error":"too many connections","code":"QUEUE_FULL","hint":"close some"}'


@pytest.mark.parametrize(
    ("answer", "kind", "message", "hint"),
    [
        (answers(401, SAID), AuthError, "too many connections", "close some"),
        (answers(403, "nothing to read"), AuthError, "HTTP status 403", ""),
        (answers(503, SAID), LinkError, "too many connections", "close some"),
        (answers(404, "[]"), LinkError, "HTTP status 404", ""),
        (answers(404, "[" * 100_000), LinkError, "HTTP status 404", ""),
        (answers(401, "{'error':'?'}").replace(b"'", b'"').replace(b"?", b"\xff"), *REFUSED),
        (answers(200, "<html>"), LinkError, "HTTP status 200", ""),
        (b"220 mail.example ESMTP\r\n", LinkError, "does not speak edgeconsole.v1", ""),
        (b"", LinkError, "does not speak edgeconsole.v1", ""),
    ],
)
async def test_other_answers_are_typed(
    answer: bytes, kind: type[EdgeConsoleError], message: str, hint: str
) -> None:
    """A refusal repeats the agent's words; a server of another kind is recognised as such."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EdgeConsoleError, match=message) as caught:
            await open_connection(f"ws://127.0.0.1:{port}/", "/", "token", max_bytes=1024)
    assert type(caught.value) is kind
    assert caught.value.hint == hint


async def test_a_peer_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that is not answered ends after the timeout."""
    monkeypatch.setattr(transport, "OPEN_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(LinkError, match="did not answer"):
            await open_connection(url, "/", "token", max_bytes=1024)


def as_folder(path: Path) -> None:
    """Put a folder in the token's place."""
    path.mkdir()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _: None, "there is no token file"),
        (as_folder, "cannot be read"),
        (lambda path: path.write_bytes(b"\xff"), "cannot be read"),
    ],
)
def test_tokens_that_cannot_be_read(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    """Whatever is wrong with a token file is an `AuthError` that names it."""
    path = tmp_path / "token"
    prepare(path)
    with pytest.raises(AuthError, match=message) as caught:
        read_token(path)
    assert str(path) in caught.value.message


def test_tokens_are_stripped(tmp_path: Path) -> None:
    """The line end an editor adds is not part of a token."""
    (tmp_path / "token").write_text(" abc\r\n")
    assert read_token(tmp_path / "token") == "abc"


@pytest.mark.parametrize(("value", "expected"), [("abc", "abc"), ("", None), (None, None)])
def test_the_environments_token(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str | None
) -> None:
    """An empty variable is as good as none."""
    if value is None:
        monkeypatch.delenv("EDGECONSOLE_TOKEN", raising=False)
    else:
        monkeypatch.setenv("EDGECONSOLE_TOKEN", value)
    assert token_from_environment() == expected
