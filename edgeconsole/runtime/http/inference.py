"""One inference over HTTP: read, hand to the engine, answer. Who hangs up leaves the queue."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.http.codec import (
    HEADER_LENGTH,
    HttpInference,
    decode_infer,
    encode_infer,
)
from edgeconsole.runtime.http.replies import HttpError, body_response
from edgeconsole.runtime.serving.batcher import Outcome

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

BODY_TIMEOUT_S: Final = 30.0
"""How long a client may take to send one request."""


class InferenceDoor:
    """Takes inference requests for one agent."""

    def __init__(self, agent: EdgeIntelligentAgent) -> None:
        self._agent = agent
        serving = agent.config.serving
        self._limit_bytes = serving.max_message_bytes
        self._budget_bytes = max(serving.max_queue_mb << 20, self._limit_bytes)
        self._reading_bytes = 0

    async def infer(self, request: BaseRequest, model: str, version: str) -> web.Response:
        """Answer one request; raises `RequestError`."""
        body = await self._read(request)
        asked = decode_infer(model, version, body, request.headers.get(HEADER_LENGTH))
        answer: asyncio.Future[web.Response] = asyncio.get_running_loop().create_future()
        drop = self._agent.engine.submit(asked.request, partial(self._finish, asked, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            drop(RequestError(ErrorCode.CANCELLED, "the client has gone"))
            raise

    def _finish(
        self, asked: HttpInference, answer: asyncio.Future[web.Response], outcome: Outcome
    ) -> None:
        """Encode the answer at once: its arrays are views that end with this call."""
        if answer.done():
            return  # The client has gone.
        if isinstance(outcome, RequestError):
            answer.set_exception(outcome)
            return
        frame = outcome.header(asked.request.id, self._agent.device_id)
        body, length = encode_infer(frame, outcome.outputs, asked)
        if length is None:
            answer.set_result(body_response(body, "application/json"))
        else:
            headers = {HEADER_LENGTH: str(length)}
            answer.set_result(body_response(body, "application/octet-stream", headers=headers))

    async def _read(self, request: BaseRequest) -> bytes:
        """Return the body; what is too large, compressed, slow or too much is not read to its end."""
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise HttpError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                ErrorCode.MALFORMED,
                f"Content-Encoding {encoding[:40]!r} is not accepted",
                hint="send the request uncompressed",
            )
        size = self._limit_bytes if request.content_length is None else request.content_length
        if size > self._limit_bytes:
            raise self._too_large()
        if self._reading_bytes and self._reading_bytes + size > self._budget_bytes:
            raise RequestError(
                ErrorCode.QUEUE_FULL,
                "too many large requests are being read",
                hint="try again later",
            )
        self._reading_bytes += size
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                if request.headers.get("Expect", "").lower() == "100-continue":
                    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.writer.output_size = 0  # It is no part of the answer.
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise self._too_large() from error
        except web.RequestPayloadError as error:
            raise RequestError(
                ErrorCode.MALFORMED, "the request's body is not valid HTTP/1.1"
            ) from error
        except TimeoutError as error:
            raise HttpError(
                HTTPStatus.REQUEST_TIMEOUT,
                ErrorCode.DEADLINE_EXCEEDED,
                f"the request did not arrive within {BODY_TIMEOUT_S:g} s",
            ) from error
        finally:
            self._reading_bytes -= size

    def _too_large(self) -> RequestError:
        return RequestError(
            ErrorCode.FRAME_TOO_LARGE,
            f"the request is above the limit of {self._limit_bytes} bytes",
            hint="send fewer rows a request, or raise serving.max_message_bytes",
        )
