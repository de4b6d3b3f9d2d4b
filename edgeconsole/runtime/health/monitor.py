"""`EdgeResourceMonitor`: reads the device once a second in a thread; the loop only sees results."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgeconsole.protocol.telemetry import Reading
from edgeconsole.runtime.health.sensors import (
    EnergyCount,
    power_between,
    read_energy,
    read_temperature,
)


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What was read at one moment; `None` where nothing was."""

    temp_c: Reading
    power_w: Reading
    cpu_percent: float | None
    memory_percent: float | None
    memory_used_bytes: int | None
    agent_rss_bytes: int | None


_NOT_READ = ResourceUsage(
    Reading(unit="°C", reason="not read yet"),
    Reading(unit="W", reason="not read yet"),
    *(None,) * 4,
)


class EdgeResourceMonitor:
    """The device's latest readings."""

    def __init__(self, sysfs_root: Path = Path("/sys"), interval_s: float = 1.0) -> None:
        self.latest = _NOT_READ
        self._sysfs_root = sysfs_root
        self._interval_s = interval_s
        self._energy: EnergyCount | None = None
        self._process = psutil.Process()

    async def run(self) -> None:
        """Read for ever."""
        psutil.cpu_percent(None)  # The first call only sets the reference point.
        while True:
            self.latest = await asyncio.to_thread(self._read)
            await asyncio.sleep(self._interval_s)

    def _read(self) -> ResourceUsage:
        energy = read_energy(self._sysfs_root, time.monotonic())
        power_w = power_between(self._energy, energy)
        self._energy = energy
        memory = psutil.virtual_memory()
        return ResourceUsage(
            temp_c=read_temperature(self._sysfs_root),
            power_w=power_w,
            cpu_percent=psutil.cpu_percent(None),
            memory_percent=memory.percent,
            memory_used_bytes=memory.used,
            agent_rss_bytes=self._process.memory_info().rss,
        )
