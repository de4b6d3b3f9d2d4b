"""The agent's listening socket: who may come in, and to which room.

One port, two paths: `/v1/infer` and `/v1/control`. Limits follow OWASP's websocket advice and what
the library leaves to its user (connection caps, write deadlines).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from edgeconsole.errors import ConfigError, ErrorCode, RequestError
from edgeconsole.protocol.control import (
    CONTROL_PATH,
    INFER_PATH,
    MAX_CONTROL_BYTES,
    MAX_MESSAGE_HEADER,
    SUBPROTOCOL,
)
from edgeconsole.protocol.inference import encode_error
from edgeconsole.protocol.transfer import BUNDLE_PATH, MAX_TRANSFER_MESSAGE_BYTES
from edgeconsole.runtime.bundle_session import BundleSession
from edgeconsole.runtime.connection import DirectConnection
from edgeconsole.runtime.control_session import ControlSession
from edgeconsole.runtime.door import Door
from edgeconsole.runtime.infer_session import InferSession
from edgeconsole.runtime.outbox import WRITE_DEADLINE_S, Outbox
from edgeconsole.specs import ServerConfig

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

MAX_CONNECTIONS: Final = 64
MAX_PER_ROOM: Final = {INFER_PATH: 56, CONTROL_PATH: 16, BUNDLE_PATH: 1}
"""Clients alone cannot fill the house: operators always find a place."""
MAX_BYTES: Final = {CONTROL_PATH: MAX_CONTROL_BYTES, BUNDLE_PATH: MAX_TRANSFER_MESSAGE_BYTES}
HARD_LIMIT_FACTOR: Final = 8
"""A message above the soft limit is refused with an error; above this multiple, with a close."""
_STATUS: Final = {
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
}
_STOP_S: Final = 5.0
_OPEN_TIMEOUT_S: Final = 5.0


class AgentServer:
    """Accepts connections and runs a session for each."""

    def __init__(self, agent: EdgeIntelligentAgent, config: ServerConfig, token: str) -> None:
        self._agent = agent
        self._config = config
        self._door = Door(config.host, token)
        self._server: Server | None = None
        self._outboxes: dict[ServerConnection, Outbox] = {}
        self._rooms = dict.fromkeys(MAX_PER_ROOM, 0)

    async def start(self) -> None:
        """Listen; raises `ConfigError` if the address cannot be used."""
        soft = self._agent.config.serving.max_message_bytes
        try:
            self._server = await serve(
                self._handle,
                self._config.host,
                self._config.port,
                process_request=self._admit,
                process_response=self._announce,
                create_connection=DirectConnection,
                select_subprotocol=_select_subprotocol,
                compression=None,
                server_header=None,
                open_timeout=_OPEN_TIMEOUT_S,
                ping_interval=10,
                ping_timeout=10,
                close_timeout=2,
                max_size=soft * HARD_LIMIT_FACTOR,
                max_queue=4,
            )
        except OSError as error:
            where = f"{self._config.host}:{self._config.port}"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(
                f"cannot listen on {where}: {reason}",
                hint="another agent may run here; choose another [server] port",
            ) from error

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return int(port)

    @property
    def connections(self) -> int:
        """Return how many peers are connected."""
        return len(self._outboxes)

    def check(self, now_s: float) -> None:
        """Cut off peers that do not read; called about once a second."""
        for connection, outbox in list(self._outboxes.items()):
            if outbox.blocked_s(now_s) > WRITE_DEADLINE_S:
                connection.transport.abort()

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Let a handshake through (`None`) or refuse it with a typed error."""
        path = request.path.partition("?")[0]
        headers = request.headers
        try:
            self._door.check_origin(has_origin="Origin" in headers, hosts=headers.get_all("Host"))
            await self._door.check_token(
                headers.get_all("Authorization"), str(connection.remote_address[0])
            )
        except RequestError as error:
            return _refuse(connection, _STATUS[error.code], error)
        if path not in self._rooms:
            paths = ", ".join(MAX_PER_ROOM)
            unknown = f"there is nothing at this path; use one of {paths}"
            return _refuse(
                connection, HTTPStatus.NOT_FOUND, RequestError(ErrorCode.MALFORMED, unknown)
            )
        if self.connections >= MAX_CONNECTIONS or self._rooms[path] >= MAX_PER_ROOM[path]:
            full = RequestError(
                ErrorCode.QUEUE_FULL, "too many connections", hint="close some, or try again later"
            )
            return _refuse(connection, HTTPStatus.SERVICE_UNAVAILABLE, full)
        if path in MAX_BYTES:
            connection.protocol.max_message_size = MAX_BYTES[path]
        return None

    def _announce(
        self, _connection: ServerConnection, _request: Request, response: Response
    ) -> None:
        """Tell clients how large a message may be, so that they need not find out."""
        response.headers[MAX_MESSAGE_HEADER] = str(self._agent.config.serving.max_message_bytes)

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        assert isinstance(connection, DirectConnection)
        path = connection.request.path.partition("?")[0]
        outbox = Outbox(connection)
        self._outboxes[connection] = outbox
        self._rooms[path] += 1
        try:
            if path == INFER_PATH:
                await InferSession(connection, self._agent, outbox).run()
            elif path == CONTROL_PATH:
                await ControlSession(connection, self._agent, outbox).run()
            else:
                await BundleSession(connection, self._agent).run()
        except ConnectionClosed:
            return
        finally:
            self._rooms[path] -= 1
            del self._outboxes[connection]


def _select_subprotocol(
    _connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Agree on ours; a client that offers none is taken to speak it."""
    if not offered:
        return None
    if SUBPROTOCOL in offered:
        return Subprotocol(SUBPROTOCOL)
    raise NegotiationError(f"this agent speaks {SUBPROTOCOL}")


def _refuse(connection: ServerConnection, status: HTTPStatus, error: RequestError) -> Response:
    response = connection.respond(status, encode_error("", error) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
