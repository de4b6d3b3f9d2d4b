"""An open control connection: commands with their replies, and what the agent pushes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from edgeconsole.errors import ErrorCode, LinkError, ProtocolError, RequestError
from edgeconsole.fleet.tasks import LOAD_REPLY_S, REPLY_S
from edgeconsole.protocol.control import (
    CONTROL_PATH,
    MAX_REPLY_BYTES,
    Command,
    EventPush,
    Failed,
    Hello,
    HelloReply,
    Reply,
    SamplePush,
    decode_agent_message,
    encode,
)
from edgeconsole.transport import open_connection

REPLY_TIMEOUT_S: Final = REPLY_S
LOAD_TIMEOUT_S: Final = LOAD_REPLY_S

Push = SamplePush | EventPush


class ControlLink:
    """Commands to one agent. Used in `async with`; `take` gets every push."""

    def __init__(self, url: str, token: str, take: Callable[[Push], None] | None = None) -> None:
        self.url = url
        self._token = token
        self._take = take
        self._ids = itertools.count(1)
        self._owed: dict[str, asyncio.Future[Reply]] = {}
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect; raises `AuthError`, `LinkError` or `ConfigError`."""
        self._connection = await open_connection(
            self.url, CONTROL_PATH, self._token, max_bytes=MAX_REPLY_BYTES
        )
        self._reader = asyncio.create_task(self._read(self._connection))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        assert self._connection is not None
        assert self._reader is not None
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.close()

    def next_id(self) -> str:
        """Return an id for the next command."""
        return str(next(self._ids))

    async def hello(self) -> HelloReply:
        """Say who we are and learn who the agent is; raises as `ask` does."""
        reply = await self.ask(Hello(id=self.next_id(), client="edgeconsole"))
        if not isinstance(reply, HelloReply):
            raise ProtocolError(f"{self.url} answered hello with {type(reply).__name__}")
        return reply

    async def ask(self, command: Command, timeout_s: float = REPLY_TIMEOUT_S) -> Reply:
        """Send a command and wait for its reply.

        Raises:
            RequestError: the agent refused it; the code says why.
            LinkError: no reply came.
        """
        assert self._connection is not None
        assert self._reader is not None
        if self._reader.done():
            raise LinkError(f"{self.url} closed the connection")
        owed: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._owed[command.id] = owed
        try:
            async with asyncio.timeout(timeout_s):
                await self._connection.send(encode(command))
                reply = await owed
        except (TimeoutError, ConnectionClosed) as error:
            raise LinkError(f"{self.url} did not answer a command") from error
        finally:
            del self._owed[command.id]
        if isinstance(reply, Failed):
            raise RequestError(ErrorCode.parse(reply.code), reply.error, hint=reply.hint)
        return reply

    async def closed(self) -> None:
        """Wait until the connection ends; raises `ProtocolError` for a frame that cannot be read."""
        assert self._reader is not None
        await self._reader

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for frame in connection:
                message = decode_agent_message(frame)
                if isinstance(message, SamplePush | EventPush):
                    if self._take is not None:
                        self._take(message)
                    continue
                owed = self._owed.get(message.id)
                if owed is not None and not owed.done():
                    owed.set_result(message)
        except ConnectionClosed:
            return
        except RequestError as error:
            raise ProtocolError(f"{self.url}: {error.message}") from error
        finally:
            for owed in self._owed.values():
                if not owed.done():
                    owed.set_exception(LinkError(f"{self.url} closed the connection"))
