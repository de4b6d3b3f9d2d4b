"""The device under test: a real agent, what it tells of itself, and the load that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.fleet.control import ControlLink, Push
from edgeconsole.protocol.control import EventPush, GetStatus, StatusReply, Subscribe
from edgeconsole.protocol.endpoint import ENDPOINT_FILE, Endpoint
from edgeconsole.protocol.failsafe import RouteSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample
from faults.load import Outcome, Say, Start
from faults.models import MODEL, STANDBY, STATIC, write_standby, write_subject
from faults.shim import Shim

DEADLINE_MS: Final = 50.0
RATE_PER_S: Final = 60.0
TOOK_MS: Final = 5.0
_START_S: Final = 30.0
_STATE_MB: Final = 24
_TOML: Final = """\
agent_id = "device"
state_dir = "state"
[server]
port = 0
[serving]
hang_timeout_s = 1.0
max_message_bytes = 1048576
[[models]]
model_id = "{model}"
bundle = "subject"
deadline_ms = {deadline_ms}
memory_requirement_mb = 384
workers = 1
intra_op_threads = 1
fallback_models = ["{standby}"]
[models.failsafe]
static_answer = {{ y = {static} }}
self_test_s = 1.0
[[models]]
model_id = "{standby}"
bundle = "standby"
deadline_ms = 1000.0
workers = 1
intra_op_threads = 1
"""


@dataclass(frozen=True)
class Launch:
    """How an agent is started."""

    small_store: bool = False
    """Its state lies in a file system of a few MiB of its own."""
    shim: Shim | None = None
    """What comes before libc in it."""


@dataclass
class Bundles:
    """The models, written once for all agents."""

    folder: Path
    turns: float = field(init=False)

    def __post_init__(self) -> None:
        """Write them."""
        self.turns = write_subject(self.folder / "subject", took_ms=TOOK_MS)
        write_standby(self.folder / "standby")


class Plant:
    """One agent with its load; used in `async with`."""

    def __init__(self, home: Path, bundles: Bundles, launch: Launch, seed: int) -> None:
        self.home = home
        self.turns = bundles.turns
        self.events: list[tuple[float, DeviceEvent]] = []
        """With the monotonic time at which they came."""
        self.url = ""
        self.token = ""
        self._bundles = bundles
        self._launch = launch
        self._seed = seed
        self._agent: subprocess.Popen[bytes] | None = None
        self._load: asyncio.subprocess.Process | None = None
        self._link: ControlLink | None = None

    async def __aenter__(self) -> Self:
        """Start the agent, watch it, and start the load; raises `RuntimeError` if it does not come up."""
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End both."""
        await self._end()

    @property
    def pid(self) -> int:
        """Return the agent's process id."""
        assert self._agent is not None
        return self._agent.pid

    @property
    def link(self) -> ControlLink:
        """Return the operator's connection."""
        assert self._link is not None
        return self._link

    @property
    def state(self) -> Path:
        """Return the agent's state folder as this process reaches it."""
        inside = self.home / "state"
        return Path(f"/proc/{self.pid}/root{inside}") if self._launch.small_store else inside

    @property
    def log(self) -> str:
        """Return what the agent wrote so far."""
        return (self.home / "agent.log").read_text(encoding="utf-8")

    @property
    def alive(self) -> bool:
        """Say whether the agent's process lives."""
        return self._agent is not None and self._agent.poll() is None

    async def sample(self) -> DeviceSample:
        """Return the agent's sample now."""
        reply = await self.link.ask(GetStatus(id=self.link.next_id()))
        assert isinstance(reply, StatusReply)
        return reply.sample

    async def route(self) -> RouteSample:
        """Return the route of the model under test."""
        return next(each for each in (await self.sample()).routes if each.model == MODEL)

    async def worker_pids(self, model: str) -> tuple[int, ...]:
        """Return the workers of a model."""
        for each in (await self.sample()).models:
            if each.model == model and each.worker_pids:
                return each.worker_pids
        return ()

    async def signal_workers(self, number: signal.Signals, *models: str) -> None:
        """Send a signal to all workers of models; those that are gone by then are left out."""
        for model in models:
            for pid in await self.worker_pids(model):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    async def say(self, say: Say) -> None:
        """Command what the requests command."""
        assert self._load is not None
        assert self._load.stdin is not None
        self._load.stdin.write(msgspec.json.encode(say) + b"\n")
        await self._load.stdin.drain()

    async def outcomes(self) -> list[Outcome]:
        """End the load; returns what came of each request."""
        assert self._load is not None
        out, _ = await self._load.communicate(b"")  # With anything less, stdin stays open.
        self._load = None
        return msgspec.json.decode(out, type=list[Outcome])

    async def _start(self) -> None:
        self.home.mkdir(parents=True)
        for name in ("subject", "standby"):
            shutil.copytree(self._bundles.folder / name, self.home / name)
        text = _TOML.format(
            model=MODEL,
            standby=STANDBY,
            deadline_ms=DEADLINE_MS,
            static=list(STATIC),
        )
        (self.home / "device.toml").write_text(text, encoding="utf-8")
        (self.home / "state").mkdir()
        with (self.home / "agent.log").open("wb") as log:
            self._agent = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program
                [
                    *self._wrapper(),
                    sys.executable,
                    "-m",
                    "edgeconsole.runtime.cli",
                    "--config",
                    str(self.home / "device.toml"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONSAFEPATH": "1", **self._environment()},
            )
        endpoint = await self._endpoint()
        token = (self.state / "token").read_text(encoding="utf-8").strip()
        self.url, self.token = endpoint.url, token
        link = ControlLink(endpoint.url, token, self._take)
        self._link = await link.__aenter__()
        await link.hello()
        await link.ask(Subscribe(link.next_id()))
        await wait_for(self.is_whole, "the agent's models", _START_S)
        await self._start_load(endpoint.url, token)

    async def _start_load(self, url: str, token: str) -> None:
        start = Start(url, token, self.turns, RATE_PER_S, DEADLINE_MS, self._seed)
        with (self.home / "load.log").open("wb") as log:
            self._load = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "faults.load",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=with_us(),
            )
        assert self._load.stdin is not None
        self._load.stdin.write(msgspec.json.encode(start) + b"\n")
        await self._load.stdin.drain()

    async def is_whole(self) -> bool:
        """Say whether the primary answers and its fallback is ready."""
        try:
            route = await self.route()
        except StopIteration:
            return False
        ready = {each.rung: each.available for each in route.rungs}
        return route.rung is Rung.PRIMARY and all(
            ready.get(rung, False) for rung in (Rung.PRIMARY, Rung.FALLBACK)
        )

    async def _endpoint(self) -> Endpoint:
        file = self.state / ENDPOINT_FILE

        def is_there() -> bool:
            if not self.alive:
                raise RuntimeError(f"the agent ended:\n{self.log}")
            return file.exists()

        await wait_for(is_there, "the agent's endpoint", _START_S)
        return msgspec.json.decode(file.read_bytes(), type=Endpoint)

    def _wrapper(self) -> list[str]:
        if not self._launch.small_store:
            return []
        script = 'mount -t tmpfs -o "size=$1m,mode=700" store "$2" && shift 2 && exec "$@"'
        return [*own_mounts(), "sh", "-c", script, "sh", str(_STATE_MB), str(self.home / "state")]

    def _environment(self) -> dict[str, str]:
        shim = self._launch.shim
        return {} if shim is None else shim.environment

    def _take(self, push: Push) -> None:
        if isinstance(push, EventPush):
            self.events.append((time.monotonic(), push.event))

    async def _end(self) -> None:
        if self._load is not None:
            if self._load.returncode is None:
                self._load.kill()
            await self._load.wait()
        if self._link is not None:
            await self._link.__aexit__(None, None, None)
        if self._agent is not None:
            self._agent.terminate()
            try:
                await asyncio.to_thread(self._agent.wait, 15)
            except subprocess.TimeoutExpired:
                self._agent.kill()
                await asyncio.to_thread(self._agent.wait)


def with_us() -> dict[str, str]:
    """Return the environment in which a Python finds this package."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def own_mounts() -> list[str]:
    """Return the command that gives a program mounts of its own, with or without being root."""
    command = ["unshare", "--mount"]
    return command if os.geteuid() == 0 else [*command, "--user", "--map-root-user"]


async def wait_for(
    condition: Callable[[], Awaitable[bool] | bool], what: str, timeout_s: float
) -> None:
    """Look until a condition holds; raises `RuntimeError` if it does not in time."""
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
        except EdgeConsoleError:
            result = False
        if result:
            return
        if time.monotonic() > until_s:
            raise RuntimeError(f"{what}: not within {timeout_s:.0f} s")
        await asyncio.sleep(0.02)
