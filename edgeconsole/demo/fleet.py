"""Three real agents on loopback with the shipped models: written out, started, ended.

Everything lies in one folder, `device.toml` and `fleet.toml` included, so that a person can look at
it, restart one agent by hand or point a second console at the fleet.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import platformdirs

from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ConfigError, LinkError
from edgeconsole.fleet.inventory import Inventory, load_inventory

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 8.0


class Scenario(StrEnum):
    """What happens in the demo."""

    CALM = "calm"
    """Everything is well."""
    HEATWAVE = "heatwave"
    """One device is simulated to stand in a room that gets hot; its readings say that they are."""


@dataclass(frozen=True, slots=True)
class DemoDevice:
    """One of the demo's devices, and how many images a second it is asked."""

    id: str
    site: str
    rate_per_s: float


DEVICES: Final = (
    DemoDevice("dock-1", "lyon", 40.0),
    DemoDevice("dock-2", "lyon", 25.0),
    DemoDevice("gate-1", "porto", 12.0),
)

_DEVICE_TOML: Final = """\
# Written by `edgeconsole demo`. Restart this agent alone with:
#   {command}
agent_id = "{id}"
deployment_tier = "device_edge"
latency_requirement = "interactive"
state_dir = "state"

[server]
port = {port}

[[models]]
model_id = "digits"
bundle = "{digits}"
deadline_ms = 50.0
accuracy_baseline = 0.98
fallback_models = ["digits-tiny"]

[[models]]
model_id = "digits-tiny"
bundle = "{tiny}"
deadline_ms = 50.0
"""
_HEATWAVE: Final = """
# A made-up device's heat in place of sensors; everything it says is marked as simulated.
[simulated_heat]
limit_c = 80.0
ambient_c = 22.0
wave_c = 34.0
wave_s = 900.0
idle_w = 2.0
joules_each = 0.14
most_w = 14.0
die_k_per_w = 1.5
sink_k_per_w = 3.5
die_tau_s = 6.0
sink_tau_s = 60.0
time_scale = 6.0
"""
"""Its wave takes two and a half of our minutes: warm, governed, and cool again."""
HOT_DEVICE: Final = "dock-1"
_FLEET_HEAD: Final = """\
# Written by `edgeconsole demo`. Watch it from another terminal with:
#   {command}
name = "demo"
history = "history.db"
"""
_FLEET_DEVICE: Final = """
[[devices]]
id = "{id}"
url = "ws://127.0.0.1:{port}"
token_file = "{id}/state/token"
site = "{site}"
"""


def default_folder() -> Path:
    """Return where the demo lives between runs (`$XDG_STATE_HOME/edgeconsole/demo`)."""
    return platformdirs.user_state_path("edgeconsole") / "demo"


class DemoFleet:
    """The demo's agents, as processes of their own."""

    def __init__(self, folder: Path, scenario: Scenario = Scenario.CALM) -> None:
        self.folder = folder.absolute()
        self.scenario = scenario
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.inventory = self._write()

    async def start(self) -> None:
        """Start the agents and wait until all listen.

        Raises:
            ConfigError: one ended at once; the message has its last words.
            LinkError: one does not listen in time.
        """
        for device in DEVICES:
            self._processes[device.id] = self._spawn(device)
        until_s = time.monotonic() + START_TIMEOUT_S
        for entry in self.inventory.spec.devices:
            port = int(entry.url.rsplit(":", 1)[1])
            while not await _listens(port):
                if self._processes[entry.id].poll() is not None:
                    raise ConfigError(
                        f"the demo's agent {entry.id} ended: {self._last_words(entry.id)}",
                        hint="if another demo is running, end it or give --dir",
                    )
                if time.monotonic() > until_s:
                    raise LinkError(f"the demo's agent {entry.id} does not listen")
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End all agents, drained, and wait until they are gone."""
        for process in self._processes.values():
            process.terminate()
        await asyncio.gather(
            *(asyncio.to_thread(_wait, process) for process in self._processes.values())
        )
        self._processes.clear()

    async def __aenter__(self) -> Self:
        """Start; see `start`."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; see `stop`."""
        await self.stop()

    def _write(self) -> Inventory:
        """Write the configuration of this run, with ports that are free now."""
        fleet_file = self.folder / "fleet.toml"
        watch = [sys.executable, "-m", "edgeconsole", "--fleet", str(fleet_file)]
        parts = [_FLEET_HEAD.format(command=shlex.join(watch))]
        try:
            for device, port in zip(DEVICES, _free_ports(len(DEVICES)), strict=True):
                home = self.folder / device.id
                home.mkdir(parents=True, exist_ok=True, mode=0o700)
                file = home / "device.toml"
                file.write_text(
                    _DEVICE_TOML.format(
                        id=device.id,
                        command=shlex.join(
                            [sys.executable, "-m", "edgeconsole.runtime.cli", "--config", str(file)]
                        ),
                        port=port,
                        digits=bundle_path("digits"),
                        tiny=bundle_path("digits-tiny"),
                    )
                    + self._heat(device)
                )
                parts.append(_FLEET_DEVICE.format(id=device.id, port=port, site=device.site))
            fleet_file.write_text("".join(parts))
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: the demo cannot be written here: {error.strerror}",
                hint="give another folder with --dir",
            ) from error
        return load_inventory(fleet_file)

    def _heat(self, device: DemoDevice) -> str:
        hot = self.scenario is Scenario.HEATWAVE and device.id == HOT_DEVICE
        return _HEATWAVE if hot else ""

    def _spawn(self, device: DemoDevice) -> subprocess.Popen[bytes]:
        home = self.folder / device.id
        with (home / "agent.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "edgeconsole.runtime.cli",
                    "--config",
                    str(home / "device.toml"),
                    "--exit-with-parent",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )

    def _last_words(self, device_id: str) -> str:
        lines = (self.folder / device_id / "agent.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
