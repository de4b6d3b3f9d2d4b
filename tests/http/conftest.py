"""Agents with an HTTP face, and clients of it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

HTTP_TOML = "max_message_bytes = 1048576\n\n[http]\nport = 0\n"
_addresses = itertools.count(2)


@dataclass
class Answer:
    """A response that was read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Door:
    """One agent's HTTP face, and a client session for it."""

    agent: Any
    session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """Where it listens, host and port."""
        found = re.search(r"for HTTP on port (\d+)", self.agent.log)
        assert found, self.agent.log
        return f"127.0.0.1:{found[1]}"

    @property
    def headers(self) -> dict[str, str]:
        """What lets a client in."""
        return {"Authorization": f"Bearer {self.agent.token}"}

    async def ask(self, path: str, body: Any = None, *, method: str = "", **options: Any) -> Answer:
        """Send one request, with JSON or bytes, and read its answer."""
        headers = {**self.headers, **options.pop("headers", {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        verb = method or ("GET" if body is None else "POST")
        assert self.session is not None
        async with self.session.request(
            verb, f"http://{self.address}{path}", data=data, headers=headers, **options
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape `/metrics` and return every sample by name and labels."""
        page = await self.ask("/metrics")
        assert page.status == 200, page.body
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page.body.decode())
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def http_agent(tmp_path_factory: pytest.TempPathFactory, make_agents: Any) -> Iterator[Any]:
    """Return one agent with an HTTP face for all tests of a module that leave it as it was."""
    factory = make_agents(tmp_path_factory.mktemp("http"))
    yield factory.start(factory.write(serving=HTTP_TOML))
    factory.end_all()


@pytest.fixture(scope="session")
def make_agents(request: pytest.FixtureRequest) -> Any:
    """Return the class of agent factories, which lives in the conftest above this one."""
    manager = request.config.pluginmanager
    return next(
        plugin.AgentFactory for plugin in manager.get_plugins() if hasattr(plugin, "AgentFactory")
    )


def connector() -> aiohttp.TCPConnector:
    """Return connections from a loopback address nobody had: guessing is slowed down by address."""
    number = next(_addresses)
    return aiohttp.TCPConnector(local_addr=(f"127.1.{number >> 8}.{number & 255}", 0))


@pytest.fixture
async def door(http_agent: Any) -> AsyncIterator[Door]:
    """Return the HTTP face of the module's agent."""
    async with aiohttp.ClientSession(connector=connector()) as session:
        yield Door(http_agent, session)


@pytest.fixture
async def new_door(agents: Any) -> AsyncIterator[Callable[..., Door]]:
    """Return a function that starts an agent of the test's own, and returns its HTTP face."""
    async with aiohttp.ClientSession(connector=connector()) as session:

        def start(serving: str = "", change: Callable[[str], str] = str) -> Door:
            home = agents.write(serving=f"{serving}\n\n[http]\nport = 0\n")
            file = home / "device.toml"
            file.write_text(change(file.read_text()))
            return Door(agents.start(home), session)

        yield start


@pytest.fixture
def request_for() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a valid V2 request for images, with changes."""

    def make(images: Any, **changes: Any) -> dict[str, Any]:
        tensor = {
            "name": "image",
            "shape": list(images.shape),
            "datatype": "FP32",
            "data": images.ravel().tolist(),
        }
        return {"id": "r1", "inputs": [tensor], **changes}

    return make
