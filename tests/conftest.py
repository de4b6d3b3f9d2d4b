"""Fixtures for tests with real agents: each is a process of its own, on a port of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import psutil
import pytest

from edgeconsole.demo.data import bundle_path, load_heldout
from edgeconsole.protocol.endpoint import ENDPOINT_FILE, Endpoint

START_TIMEOUT_S = 30.0
AGENT = ("-m", "edgeconsole.runtime.cli")

DEVICE_TOML = """\
agent_id = "{agent_id}"
state_dir = "state"

[server]
port = {port}

{serving}
[[models]]
model_id = "digits"
bundle = "{digits}"
deadline_ms = 1000.0
fallback_models = ["digits-tiny"]

[[models]]
model_id = "digits-tiny"
bundle = "{tiny}"
deadline_ms = 1000.0
"""


@dataclass
class AgentProcess:
    """A running `edgeconsole-agent` and where its things are."""

    home: Path
    process: subprocess.Popen[bytes]

    @property
    def config(self) -> Path:
        """The `device.toml` it was started with."""
        return self.home / "device.toml"

    @property
    def url(self) -> str:
        """Where it listens."""
        data = (self.home / "state" / ENDPOINT_FILE).read_bytes()
        return msgspec.json.decode(data, type=Endpoint).url

    @property
    def token_file(self) -> Path:
        """The file with its token."""
        return self.home / "state" / "token"

    @property
    def token(self) -> str:
        """Its token."""
        return self.token_file.read_text().strip()

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return (self.home / "agent.log").read_text()

    def worker_pids(self) -> list[int]:
        """Return the pids of its worker processes, oldest first.

        A child counts once it runs the worker's program: one stopped before it does would hold
        the agent inside the start itself, which waits for the program to begin.
        """
        children = psutil.Process(self.process.pid).children()
        workers = [child for child in children if _is_worker(child)]
        return [child.pid for child in sorted(workers, key=lambda each: each.create_time())]

    def stop(self) -> int:
        """End it in order; returns its exit code."""
        self.process.terminate()
        return self.process.wait(15)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "edgeconsole.runtime.serving.worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


class AgentFactory:
    """Starts agents in folders of a test's own and ends what is left."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[AgentProcess] = []

    def write(
        self, agent_id: str = "dev-1", *, port: int = 0, serving: str = "", toml: str | None = None
    ) -> Path:
        """Write a `device.toml`; returns the folder it lies in."""
        home = self._root / agent_id
        home.mkdir(exist_ok=True)
        text = toml or DEVICE_TOML.format(
            agent_id=agent_id,
            port=port,
            serving=serving and f"[serving]\n{serving}\n",
            digits=bundle_path("digits"),
            tiny=bundle_path("digits-tiny"),
        )
        (home / "device.toml").write_text(text)
        return home

    def start(
        self, home: Path, *, wait: bool = True, program: tuple[str | Path, ...] = AGENT
    ) -> AgentProcess:
        """Start the agent of a folder and wait until its models are ready."""
        (home / "state" / ENDPOINT_FILE).unlink(missing_ok=True)
        with (home / "agent.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *program, "--config", home / "device.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        agent = AgentProcess(home, process)
        self._started.append(agent)
        if wait:
            wait_until(lambda: "state_changed: " in agent.log, agent=agent)
        return agent

    def end_all(self) -> None:
        """End what still runs."""
        for agent in self._started:
            if agent.process.poll() is None:
                agent.process.kill()
            agent.process.wait(10)


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout_s: float = START_TIMEOUT_S,
    agent: AgentProcess | None = None,
) -> None:
    """Look at a condition until it holds; fail with the agent's log if it does not in time."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s or (agent and agent.process.poll() is not None):
            pytest.fail(f"did not become true in time\n{agent.log if agent else ''}")
        time.sleep(0.02)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[AgentFactory]:
    """Return a factory of agents that end with the test."""
    factory = AgentFactory(tmp_path)
    yield factory
    factory.end_all()


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """Return one agent for all tests of a module that leave it as it was."""
    factory = AgentFactory(tmp_path_factory.mktemp("shared"))
    yield factory.start(factory.write(serving="max_message_bytes = 1048576"))
    factory.end_all()


@pytest.fixture(scope="session")
def heldout() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the held-out images and their labels."""
    return load_heldout()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool] | bool]], Awaitable[None]]:
    """Return a function that looks at a condition, without blocking the loop, until it holds."""

    async def look(
        condition: Callable[[], Awaitable[bool] | bool], timeout_s: float = START_TIMEOUT_S
    ) -> None:
        until_s = time.monotonic() + timeout_s
        while True:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
            if result:
                return
            assert time.monotonic() < until_s, "did not become true in time"
            await asyncio.sleep(0.02)

    return look


@pytest.fixture
def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
