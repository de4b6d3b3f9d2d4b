"""The HTTP face: the same engine behind another door. Loaded only where `[http]` is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeconsole.errors import ConfigError

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent
    from edgeconsole.runtime.http.server import HttpServer
    from edgeconsole.specs import HttpConfig


def make_http_server(agent: EdgeIntelligentAgent, config: HttpConfig, token: str) -> HttpServer:
    """Return the agent's HTTP server, not started; raises `ConfigError` without the extra."""
    try:
        from edgeconsole.runtime.http.server import HttpServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohttp", "prometheus_client"):
            raise
        raise ConfigError(
            f"[http] is configured, but {error.name!r} is not installed",
            hint="pip install 'edgeconsole[http]', or remove [http]",
        ) from error
    return HttpServer(agent, config, token)
