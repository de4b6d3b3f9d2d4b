"""Canned telemetry, a clock that moves when told, and a small agent that speaks the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

import msgspec
import pytest
from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.typing import Subprotocol

from edgeconsole.protocol.control import (
    CONTROL_PATH,
    SUBPROTOCOL,
    AgentMessage,
    Command,
    Done,
    Hello,
    HelloReply,
    Subscribe,
    decode_command,
    encode,
)
from edgeconsole.protocol.inference import ServerFrame
from edgeconsole.protocol.telemetry import (
    DeviceEvent,
    DeviceSample,
    ModelSample,
    ModelState,
    Quality,
    Reading,
    Severity,
)
from edgeconsole.specs import (
    AgentState,
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    LatencyRequirement,
)

TOKEN = "t" * 43


class Clock:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock at 1000 s."""
    return Clock()


def _model(**changes: Any) -> ModelSample:
    fields: dict[str, Any] = {
        "model": "digits",
        "version": "1",
        "variant": "fp32",
        "digest": "d" * 64,
        "state": ModelState.READY,
        "active": True,
        "deadline_ms": 50.0,
    }
    return ModelSample(**fields | changes)


def _sample(seq: int = 1, **changes: Any) -> DeviceSample:
    fields: dict[str, Any] = {
        "device_id": "a",
        "boot_id": "boot-1",
        "seq": seq,
        "time_unix_s": 1_750_000_000.0 + seq,
        "state": AgentState.READY,
        "uptime_s": 5.0,
        "temp_c": Reading(50.0, "°C", "zone", Quality.MEASURED),
        "power_w": Reading(unit="W", reason="no counter"),
        "cpu_percent": 10.0,
        "memory_percent": 20.0,
        "memory_used_bytes": 1 << 30,
        "agent_rss_bytes": 1 << 25,
        "connections": 1,
        "models": (_model(),),
    }
    return DeviceSample(**fields | changes)


def _event(seq: int = 1, **changes: Any) -> DeviceEvent:
    fields: dict[str, Any] = {
        "device_id": "a",
        "boot_id": "boot-1",
        "seq": seq,
        "time_unix_s": 1_750_000_000.0 + seq,
        "severity": Severity.INFO,
        "kind": "kind",
        "message": f"event {seq}",
    }
    return DeviceEvent(**fields | changes)


@pytest.fixture
def make_model() -> Callable[..., ModelSample]:
    """Return a function that makes a model's figures."""
    return _model


@pytest.fixture
def make_sample() -> Callable[..., DeviceSample]:
    """Return a function that makes a device's sample."""
    return _sample


@pytest.fixture
def make_event() -> Callable[..., DeviceEvent]:
    """Return a function that makes a device's event."""
    return _event


class SmallAgent:
    """A websocket server that answers as an agent would, or as the test wants.

    `pushes` goes out after every `Subscribe`; `closes` ends the connection after that. `answer`
    may take over: what it returns is sent instead of the usual replies.
    """

    def __init__(self) -> None:
        self.token = TOKEN
        self.boot_id = "boot-1"
        self.port = 0
        self.pushes: list[AgentMessage | str | bytes] = []
        self.closes = False
        self.answer: Callable[[Command], list[AgentMessage | str | bytes] | None] = lambda _: None
        self.subscribed: asyncio.Queue[Subscribe] = asyncio.Queue()
        self.gone: asyncio.Queue[None] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen, on the port of last time if there was one."""
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            self.port,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            process_request=self._check,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def hello(self, command_id: str) -> HelloReply:
        """Return who it is."""
        return HelloReply(
            id=command_id,
            version=1,
            agent_id="a",
            agent_version="0.1.0",
            boot_id=self.boot_id,
            tier=EdgeDeploymentTier.DEVICE_EDGE,
            latency_requirement=LatencyRequirement.INTERACTIVE,
            device=EdgeDeviceSpec(device_id="a"),
            platform="Linux test",
        )

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != CONTROL_PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, "not here")
        if request.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        said = ServerFrame(error="the token is wrong", code="UNAUTHENTICATED", hint="copy it")
        return connection.respond(HTTPStatus.UNAUTHORIZED, msgspec.json.encode(said).decode())

    async def _handle(self, connection: ServerConnection) -> None:
        try:
            async for frame in connection:
                command = decode_command(frame)
                for message in self._replies(command):
                    raw = message if isinstance(message, str | bytes) else encode(message)
                    await connection.send(raw)
                if isinstance(command, Subscribe):
                    self.subscribed.put_nowait(command)
                    if self.closes:
                        return
        finally:
            self.gone.put_nowait(None)

    def _replies(self, command: Command) -> list[AgentMessage | str | bytes]:
        given = self.answer(command)
        if given is not None:
            return given
        if isinstance(command, Hello):
            return [self.hello(command.id)]
        done: list[AgentMessage | str | bytes] = [Done(command.id)]
        return done + (self.pushes if isinstance(command, Subscribe) else [])


@pytest.fixture
def small_agent() -> SmallAgent:
    """Return an agent that does not listen yet: use it in `async with`."""
    return SmallAgent()
