"""The rules at every door of the agent: no web pages, no foreign names, no wrong tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.auth import Authenticator


class Door:
    """Refuses who must not come in; used by the websocket and the HTTP listener alike."""

    def __init__(self, host: str, token: str) -> None:
        self._auth = Authenticator(token)
        self._hosts = {"localhost", "127.0.0.1", "[::1]", host.lower()}

    def check_origin(self, *, has_origin: bool, hosts: Sequence[str]) -> None:
        """Refuse web pages and rebound names; raises `RequestError` (FORBIDDEN)."""
        if has_origin:
            # No browser page has business here: same-origin protects neither websockets nor
            # simple requests.
            raise RequestError(
                ErrorCode.FORBIDDEN,
                "connections from web pages (with an Origin header) are refused",
            )
        if not all(self._known(host) for host in hosts):
            raise RequestError(ErrorCode.FORBIDDEN, "the Host header does not name this agent")

    async def check_token(self, authorization: Sequence[str], address: str) -> None:
        """Refuse who has no token, slower each time; raises `RequestError` (UNAUTHENTICATED)."""
        if self._auth.accepts(authorization):
            return
        await asyncio.sleep(self._auth.failed(address))
        raise RequestError(
            ErrorCode.UNAUTHENTICATED,
            "the token is missing or wrong",
            hint="send 'Authorization: Bearer TOKEN' with the agent's token file's content",
        )

    def _known(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.lower() in self._hosts
