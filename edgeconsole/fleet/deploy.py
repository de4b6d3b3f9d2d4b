"""Brings a bundle to a device over the wire: only the files it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.files import open_regular
from edgeconsole.bundle.manifest import MANIFEST_NAME
from edgeconsole.errors import ErrorCode, LinkError, ProtocolError, RequestError
from edgeconsole.protocol.control import Failed
from edgeconsole.protocol.transfer import (
    BUNDLE_PATH,
    CHUNK_BYTES,
    MAX_TRANSFER_MESSAGE_BYTES,
    Commit,
    FileBegin,
    FileEnd,
    FromAgent,
    FromConsole,
    Offer,
    Received,
    Stored,
    Wanted,
    decode_from_agent,
    encode_transfer,
)
from edgeconsole.transport import open_connection

STEP_TIMEOUT_S = 60.0


async def send_bundle(
    url: str, token: str, bundle: Bundle, sent: Callable[[str, int], None] | None = None
) -> str:
    """Send a verified bundle; returns its digest. `sent` is told of each file and its bytes.

    Raises:
        RequestError: the device refused it; the code and the sentence say why.
        LinkError: the connection broke; what arrived whole need not be sent again.
        AuthError: the device does not accept the token.
    """
    connection = await open_connection(
        url, BUNDLE_PATH, token, max_bytes=MAX_TRANSFER_MESSAGE_BYTES
    )
    try:
        return await _send_all(connection, url, bundle, sent)
    except (ConnectionClosed, TimeoutError) as error:
        raise LinkError(
            f"{url}: the connection broke during the transfer",
            hint="try again; what arrived whole is not sent again",
        ) from error
    finally:
        await connection.close()


async def _send_all(
    connection: ClientConnection,
    url: str,
    bundle: Bundle,
    sent: Callable[[str, int], None] | None,
) -> str:
    manifest = await asyncio.to_thread((bundle.path / MANIFEST_NAME).read_bytes)
    wanted = await _ask(connection, Offer(manifest))
    if not isinstance(wanted, Wanted):
        raise ProtocolError(f"{url} answered an offer with {type(wanted).__name__}")
    for path in wanted.files:
        size = await _send_file(connection, bundle.file_path(path), path)
        if sent is not None:
            sent(path, size)
    stored = await _ask(connection, Commit())
    if not isinstance(stored, Stored) or stored.digest != bundle.digest:
        raise ProtocolError(f"{url} stored something else than was sent")
    return stored.digest


async def _send_file(connection: ClientConnection, file: Path, path: str) -> int:
    await connection.send(encode_transfer(FileBegin(path)))
    size = 0
    with open_regular(file) as reader:
        while chunk := await asyncio.to_thread(reader.read, CHUNK_BYTES):
            await connection.send(chunk)
            size += len(chunk)
    if not isinstance(await _ask(connection, FileEnd()), Received):
        raise ProtocolError(f"{path} was not confirmed")
    return size


async def _ask(connection: ClientConnection, message: FromConsole) -> FromAgent:
    await connection.send(encode_transfer(message))
    async with asyncio.timeout(STEP_TIMEOUT_S):
        reply = decode_from_agent(await connection.recv())
    if isinstance(reply, Failed):
        raise RequestError(ErrorCode.parse(reply.code), reply.error, hint=reply.hint)
    return reply
