"""Who may ask over HTTP: the same rules as for a websocket handshake."""

from __future__ import annotations

import asyncio

from aiohttp.web_request import BaseRequest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.auth import Authenticator


class Guard:
    """Refuses web pages, foreign names and wrong tokens."""

    def __init__(self, host: str, token: str) -> None:
        self._auth = Authenticator(token)
        self._hosts = {"localhost", "127.0.0.1", "[::1]", host.lower()}

    def check_origin(self, request: BaseRequest) -> None:
        """Refuse web pages and rebound names; raises `RequestError`."""
        if "Origin" in request.headers:
            # A page may send simple requests to any address, without asking.
            raise RequestError(
                ErrorCode.FORBIDDEN,
                "requests from web pages (with an Origin header) are refused",
            )
        if not all(self._known_host(host) for host in request.headers.getall("Host", [])):
            raise RequestError(ErrorCode.FORBIDDEN, "the Host header does not name this agent")

    async def check_token(self, request: BaseRequest) -> None:
        """Refuse who has no token, slower each time; raises `RequestError`."""
        if self._auth.accepts(request.headers.getall("Authorization", [])):
            return
        await asyncio.sleep(self._auth.failed(str(request.remote)))
        raise RequestError(
            ErrorCode.UNAUTHENTICATED,
            "the token is missing or wrong",
            hint="send 'Authorization: Bearer TOKEN' with the agent's token file's content",
        )

    def _known_host(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.lower() in self._hosts
