"""One client on `/v1/infer`: many requests in flight, answers in any order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import ServerConnection

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import (
    AnswerParameters,
    InferRequest,
    ServerFrame,
    decode_client_frame,
    encode_answer,
    encode_error,
    peek_id,
)
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
        self, connection: ServerConnection, agent: EdgeIntelligentAgent, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._outbox = outbox
        self._open: dict[str, Callable[[RequestError], None]] = {}
        self._anonymous = 0

    async def run(self) -> None:
        """Serve the connection until it closes."""
        sender = asyncio.create_task(self._outbox.send())
        try:
            async for frame in self._connection:
                self._take(frame)
                while len(self._open) + len(self._outbox) >= MAX_IN_FLIGHT:
                    await self._outbox.taken()
        finally:
            sender.cancel()
            gone = RequestError(ErrorCode.CANCELLED, "the client has gone")
            for drop in list(self._open.values()):
                drop(gone)
            await asyncio.gather(sender, return_exceptions=True)

    def _take(self, frame: str | bytes) -> None:
        """Start one request; every way out of here sends exactly one reply."""
        try:
            _check_size(frame, self._agent.config.serving.max_message_bytes)
            message = decode_client_frame(frame)
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
        drop = self._agent.engine.submit(request, partial(self._finish, key, request))
        if key in self._open:
            self._open[key] = drop

    def _finish(self, key: str, request: InferRequest, outcome: Outcome) -> None:
        """Encode the answer at once: its arrays are views that end with this call."""
        self._open.pop(key, None)
        if isinstance(outcome, RequestError):
            self._outbox.reply(encode_error(request.id, outcome))
            return
        frame = ServerFrame(
            id=request.id,
            model_name=outcome.model,
            model_version=outcome.version,
            parameters=AnswerParameters(
                variant=outcome.variant,
                device=self._agent.device_id,
                queue_ms=outcome.queue_ms,
                infer_ms=outcome.infer_ms,
                total_ms=outcome.total_ms,
                cached=outcome.cached,
                degraded=outcome.degraded,
            ),
        )
        self._outbox.reply(encode_answer(frame, outcome.outputs, binary=request.binary_output))

    def _cancel(self, request_id: str) -> None:
        drop = self._open.get(request_id)
        if (
            drop is not None
        ):  # Else it was just answered: nothing to drop, nothing to complain about.
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
