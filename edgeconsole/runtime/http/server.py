"""The HTTP face's listening socket, and which room each path leads to."""

from __future__ import annotations

import asyncio
import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from edgeconsole.errors import ConfigError, ErrorCode, RequestError
from edgeconsole.runtime.door import Door
from edgeconsole.runtime.http import models
from edgeconsole.runtime.http.connection import MAX_INFER_CONNECTIONS, ConnectionFactory
from edgeconsole.runtime.http.exposition import MetricsPage
from edgeconsole.runtime.http.inference import InferenceDoor
from edgeconsole.runtime.http.replies import (
    HttpError,
    body_response,
    error_response,
    json_response,
)
from edgeconsole.specs import HttpConfig

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

_STOP_S: Final = 2.0
_LIVE: Final = ("v2", "health", "live")
_log = logging.getLogger("edgeconsole.agent")


class HttpServer:
    """Answers `/metrics` and `/v2`."""

    def __init__(self, agent: EdgeIntelligentAgent, config: HttpConfig, token: str) -> None:
        self._agent = agent
        self._config = config
        self._door = Door(config.host, token)
        self._inference = InferenceDoor(agent)
        self._metrics = MetricsPage(agent)
        self._connections: ConnectionFactory | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raises `ConfigError` if the address cannot be used."""
        loop = asyncio.get_running_loop()
        self._connections = ConnectionFactory(
            self._handle, request_factory=self._make_request, handler_cancellation=True
        )
        try:
            self._listener = await loop.create_server(
                self._connections, self._config.host, self._config.port
            )
        except OSError as error:
            where = f"{self._config.host}:{self._config.port}"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigError(
                f"cannot listen on {where}: {reason}", hint="choose another [http] port"
            ) from error

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, let answers that are under way end, and close all connections."""
        if self._listener is None or self._connections is None:
            return
        self._listener.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(_STOP_S)

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> BaseRequest:
        limit = self._agent.config.serving.max_message_bytes
        loop = asyncio.get_running_loop()
        return BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)

    async def _handle(self, request: BaseRequest) -> web.Response:
        """Answer one request; every refusal is typed, and none carries a stack trace."""
        try:
            self._door.check_origin(
                has_origin="Origin" in request.headers, hosts=request.headers.getall("Host", [])
            )
            segments = tuple(request.path.strip("/").split("/"))
            if segments != _LIVE:
                await self._door.check_token(
                    request.headers.getall("Authorization", []), str(request.remote)
                )
            return await self._answer(request, segments)
        except RequestError as error:
            return error_response(error)
        except Exception:  # noqa: BLE001
            # A defect of ours must cost this request only.
            _log.exception("an HTTP request could not be handled")
            defect = RequestError(ErrorCode.INTERNAL, "the agent could not handle the request")
            return error_response(defect)

    async def _answer(self, request: BaseRequest, segments: tuple[str, ...]) -> web.Response:
        """Return the answer to one request; raises `RequestError`."""
        match segments:
            case ("metrics",):
                _check_method(request, "GET")
                return await self._scrape(request)
            case ("v2", "repository", "index"):
                _check_method(request, "POST")
                return await self._index(request)
            case ("v2", "models", name, "infer") | ("v2", "models", name, "versions", _, "infer"):
                _check_method(request, "POST")
                return await self._infer(request, name, _version(segments))
        content = self._content(segments)
        _check_method(request, "GET")
        return json_response(content)

    def _content(self, segments: tuple[str, ...]) -> object:
        """Return what is said at a path that only says something; raises `RequestError`."""
        engine = self._agent.engine
        match segments:
            case ("v2",):
                return models.server_metadata()
            case ("v2", "health", "live"):
                return models.Readiness(live=True)
            case ("v2", "health", "ready"):
                return models.server_ready(self._agent)
            case ("v2", "models", name) | ("v2", "models", name, "versions", _):
                return models.model_metadata(engine, name, _version(segments))
            case ("v2", "models", name, "ready") | ("v2", "models", name, "versions", _, "ready"):
                return models.model_ready(engine, name, _version(segments))
        raise HttpError(
            HTTPStatus.NOT_FOUND,
            ErrorCode.MALFORMED,
            "there is nothing at this path",
            hint="there are /metrics and the Open Inference Protocol's /v2",
        )

    async def _infer(self, request: BaseRequest, model: str, version: str) -> web.Response:
        assert self._connections is not None
        if len(self._connections.connections) > MAX_INFER_CONNECTIONS:
            refusal = HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                ErrorCode.QUEUE_FULL,
                "too many connections",
                hint="close some, or try again later",
            )
            response = error_response(refusal)
            response.force_close()
            return response
        return await self._inference.infer(request, model, version)

    async def _index(self, request: BaseRequest) -> web.Response:
        if (request.content_length or 0) > models.MAX_INDEX_BODY_BYTES:
            raise RequestError(ErrorCode.FRAME_TOO_LARGE, "an index request is a few bytes of JSON")
        return json_response(await models.repository_index(self._agent, await request.read()))

    async def _scrape(self, request: BaseRequest) -> web.Response:
        body, content_type = await self._metrics.render(request.headers.get("Accept", ""))
        return body_response(body, content_type)


def _version(segments: tuple[str, ...]) -> str:
    return segments[4] if len(segments) > 4 else ""


def _check_method(request: BaseRequest, method: str) -> None:
    if request.method != method:
        raise HttpError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            ErrorCode.MALFORMED,
            f"this path takes {method}, not {request.method[:16]}",
        )
