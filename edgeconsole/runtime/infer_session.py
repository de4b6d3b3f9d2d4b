"""One client on `/v1/infer`: many requests in flight, answers in any order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import (
    InferRequest,
    encode_error,
    peek_id,
)
from edgeconsole.protocol.reader import RequestReader
from edgeconsole.runtime.connection import DirectConnection
from edgeconsole.runtime.outbox import Outbox
from edgeconsole.runtime.serving.batcher import Outcome

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

MAX_IN_FLIGHT: Final = 256
"""Requests a connection may have open; reading pauses until one is answered and taken."""

_log = logging.getLogger("edgeconsole.agent")


class InferSession:
    """Reads requests, hands them to the engine, sends what comes back."""

    def __init__(
        self, connection: DirectConnection, agent: EdgeIntelligentAgent, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._outbox = outbox
        self._open: dict[str, Callable[[RequestError], None]] = {}
        self._anonymous = 0
        self._reader = RequestReader()
        self._backlog: deque[str | bytes] = deque()
        """At most what one read from the socket holds."""
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Serve the connection until it closes."""
        sender = asyncio.create_task(self._outbox.send())
        self._outbox.on_taken = self._make_room
        self._connection.take_with(self._arrive)
        self._connection.on_lost = self._room.set
        try:
            # What came before the line above, and what comes in fragments.
            async for frame in self._connection:
                self._arrive(frame)
                await self._room.wait()
        finally:
            self._connection.take_with(None)
            sender.cancel()
            gone = RequestError(ErrorCode.CANCELLED, "the client has gone")
            for drop in list(self._open.values()):
                drop(gone)
            await asyncio.gather(sender, return_exceptions=True)

    def _arrive(self, frame: str | bytes) -> None:
        """Take a frame, or keep what was read already when there was no more room."""
        if self._backlog or not self._room.is_set():
            self._backlog.append(frame)
        else:
            self._take(frame)

    def _check_room(self) -> None:
        """Stop reading from a client that has too much open."""
        if self._room.is_set() and len(self._open) + len(self._outbox) >= MAX_IN_FLIGHT:
            self._room.clear()
            if not self._connection.transport.is_closing():
                self._connection.transport.pause_reading()

    def _make_room(self) -> None:
        """Read on once half of it is done."""
        if not self._room.is_set() and len(self._open) + len(self._outbox) <= MAX_IN_FLIGHT // 2:
            self._room.set()
            if not self._connection.transport.is_closing():
                self._connection.transport.resume_reading()
            while self._backlog and self._room.is_set():
                self._take(self._backlog.popleft())

    def _take(self, frame: str | bytes) -> None:
        """Start one request; every way out of here sends exactly one reply."""
        try:
            _check_size(frame, self._agent.config.serving.max_message_bytes)
            message = self._reader.read(frame)
            if isinstance(message, str):
                self._cancel(message)
            else:
                self._submit(message)
        except RequestError as error:
            self._outbox.reply(encode_error(peek_id(frame), error))
        except Exception:  # noqa: BLE001
            # A defect of ours must cost this request only; the peer gets no stack trace.
            _log.exception("a request could not be handled")
            defect = RequestError(ErrorCode.INTERNAL, "the agent could not handle the request")
            self._outbox.reply(encode_error(peek_id(frame), defect))
        self._check_room()

    def _submit(self, request: InferRequest) -> None:
        key = request.id
        if not key:
            self._anonymous += 1
            key = f"\0{self._anonymous}"
        if key in self._open:
            raise RequestError(
                ErrorCode.DUPLICATE_ID, f"a request with id {request.id!r} is still in flight"
            )
        # An answer from the cache comes before `submit` returns.
        self._open[key] = _not_yet
        try:
            drop = self._agent.engine.submit(request, partial(self._finish, key, request))
        except BaseException:
            del self._open[key]
            raise
        if key in self._open:
            self._open[key] = drop

    def _finish(self, key: str, request: InferRequest, outcome: Outcome) -> None:
        """Encode the answer at once: its arrays are views that end with this call."""
        self._open.pop(key, None)
        self._outbox.reply(self._encode(request, outcome))
        self._make_room()

    def _encode(self, request: InferRequest, outcome: Outcome) -> str | bytes:
        if isinstance(outcome, RequestError):
            return encode_error(request.id, outcome)
        return outcome.encode(request.id, self._agent.device_id, binary=request.binary_output)

    def _cancel(self, request_id: str) -> None:
        drop = self._open.get(request_id)
        # Without it the request was just answered: nothing to drop, nothing to complain about.
        if drop is not None:
            drop(RequestError(ErrorCode.CANCELLED, "the client cancelled the request"))


def _not_yet(_error: RequestError) -> None:
    """Stand in for the drop function of a request that is being submitted."""


def _check_size(frame: str | bytes, limit: int) -> None:
    if len(frame) > limit:
        raise RequestError(
            ErrorCode.FRAME_TOO_LARGE,
            f"the message of {len(frame)} bytes is above the limit of {limit}",
            hint="send fewer rows a request, or raise serving.max_message_bytes",
        )
