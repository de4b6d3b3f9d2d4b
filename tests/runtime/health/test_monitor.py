"""`EdgeResourceMonitor`: reads in a thread, and always has an answer."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor, ResourceUsage


class Told(EdgeResourceMonitor):
    """Tells after each reading."""

    def __init__(self, sysfs_root: Path) -> None:
        super().__init__(sysfs_root, interval_s=0.0)
        self.read: asyncio.Queue[ResourceUsage] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def _read(self) -> ResourceUsage:
        usage = super()._read()
        self._loop.call_soon_threadsafe(self.read.put_nowait, usage)
        return usage


def thermometer(root: Path) -> None:
    """Write one processor zone."""
    zone = root / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("48000\n")


def test_before_the_first_reading_all_is_unknown() -> None:
    """Nothing is claimed that was not read."""
    latest = EdgeResourceMonitor().latest
    assert (latest.temp_c.value, latest.temp_c.reason) == (None, "not read yet")
    assert (latest.power_w.value, latest.power_w.reason) == (None, "not read yet")
    assert (latest.cpu_percent, latest.memory_percent) == (None, None)


async def test_run_keeps_the_latest_reading(tmp_path: Path) -> None:
    """Once it runs, the readings are this machine's and this process's."""
    thermometer(tmp_path)
    monitor = Told(tmp_path)
    task = asyncio.create_task(monitor.run())
    await asyncio.wait_for(monitor.read.get(), 10)
    usage = await asyncio.wait_for(monitor.read.get(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (usage.temp_c.value, usage.temp_c.quality) == (48.0, Quality.MEASURED)
    assert "no processor energy counter" in usage.power_w.reason
    assert usage.memory_percent is not None
    assert 0 < usage.memory_percent <= 100
    assert usage.agent_rss_bytes == pytest.approx(
        psutil.Process(os.getpid()).memory_info().rss, rel=0.2
    )
    assert monitor.latest.temp_c == usage.temp_c
