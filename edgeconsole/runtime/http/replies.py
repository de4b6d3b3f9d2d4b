"""What is answered over HTTP: JSON, and refusals as a status with a typed error."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from edgeconsole.errors import ErrorCode, RequestError

STATUS_OF: Final[dict[ErrorCode, HTTPStatus]] = {
    ErrorCode.FRAME_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.UNKNOWN_MODEL: HTTPStatus.NOT_FOUND,
    ErrorCode.DUPLICATE_ID: HTTPStatus.CONFLICT,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.DEADLINE_UNREACHABLE: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.QUEUE_FULL: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.DEGRADED_ONLY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.SAFE_STOP: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.MODEL_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.WORKER_LOST: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of each code; of those that are not here, 400."""
_SERVER: Final = {"Server": "edgeconsole"}
"""aiohttp would name itself and its version."""
_encoder: Final = msgspec.json.Encoder()


class HttpError(RequestError):
    """A refusal whose status is not the one its code stands for."""

    def __init__(
        self, status: HTTPStatus, code: ErrorCode, message: str, *, hint: str = ""
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.status = status


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """The JSON of a refusal; `error` is where V2 clients look."""

    error: str
    code: str
    hint: str = ""
    estimated_wait_ms: float | None = None


def json_response(content: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return a JSON answer."""
    return body_response(_encoder.encode(content), "application/json", status=status)


def body_response(
    body: bytes,
    content_type: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Return an answer of any type."""
    named = {"Content-Type": content_type, **_SERVER, **(headers or {})}
    return web.Response(body=body, status=status, headers=named)


def error_response(error: RequestError) -> web.Response:
    """Return a refusal."""
    status = (
        error.status
        if isinstance(error, HttpError)
        else STATUS_OF.get(error.code, HTTPStatus.BAD_REQUEST)
    )
    body = ErrorBody(error.message, error.code.value, error.hint, error.estimated_wait_ms)
    response = json_response(body, status)
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = (error.estimated_wait_ms or 0.0) / 1e3
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    elif status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
