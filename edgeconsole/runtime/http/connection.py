"""One HTTP connection, and how many there may be. Adds the bounds that aiohttp leaves to its user."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.http.replies import error_response
from edgeconsole.runtime.outbox import WRITE_DEADLINE_S

MAX_CONNECTIONS: Final = 144
MAX_INFER_CONNECTIONS: Final = 128
"""With more connections than this no inference is taken: scrapers always find a place."""
IDLE_TIMEOUT_S: Final = 30.0
"""A connection without a complete request header for so long is closed."""
_FULL_BODY: Final = (
    b'{"error":"too many connections","code":"QUEUE_FULL","hint":"close some, or try again later"}'
)
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: edgeconsole\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_FULL_BODY), _FULL_BODY)
)


class Connection(web.RequestHandler):
    """Cuts off peers that do not read, and answers what is not HTTP as everything else: typed."""

    __slots__ = ("_write_deadline",)

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the peer in, or close at once where the house is full."""
        super().connection_made(transport)
        assert self._manager is not None
        if len(self._manager.connections) > MAX_CONNECTIONS:
            assert self.transport is not None
            self.transport.write(_FULL)
            self.force_close()

    def pause_writing(self) -> None:
        """Start the clock: the peer takes nothing more."""
        super().pause_writing()
        self._write_deadline = self._loop.call_later(WRITE_DEADLINE_S, self._abort)

    def resume_writing(self) -> None:
        """Stop the clock."""
        super().resume_writing()
        self._stop_clock()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> StreamResponse:
        """Answer what could not be parsed; the peer's bytes are not repeated to it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; it cannot become an error")
        if status < 500:
            error = RequestError(ErrorCode.MALFORMED, "the request is not valid HTTP/1.1")
        else:
            error = RequestError(ErrorCode.INTERNAL, "the agent could not handle the request")
        response = error_response(error)
        response.force_close()
        return response

    def _stop_clock(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class ConnectionFactory(web.Server):
    """Makes the connections of one listening socket."""

    def __call__(self) -> Connection:
        """Return the protocol of a connection that was just accepted."""
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=IDLE_TIMEOUT_S,
            # Else a peer could make us inflate what it does not send.
            auto_decompress=False,
            access_log=None,
            lingering_time=1.0,
        )
