"""`EdgeResourceMonitor`: reads in threads, and always has an answer."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import psutil
import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor, ResourceUsage
from edgeconsole.runtime.health.sensors.lane import Lane
from edgeconsole.runtime.health.sensors.round import Round
from tests.runtime.health.trees import unpack

TREE = """
sys/class/thermal/thermal_zone0/type = cpu-thermal
sys/class/thermal/thermal_zone0/temp = 48000
sys/class/thermal/thermal_zone0/trip_point_0_type = critical
sys/class/thermal/thermal_zone0/trip_point_0_temp = 105000
sys/class/hwmon/hwmon0/name = ina226
sys/class/hwmon/hwmon0/in1_input = 5000
sys/class/hwmon/hwmon0/curr1_input = 800
proc/meminfo = MemTotal: 1000 kB\\nMemAvailable: 400 kB
proc/stat = cpu 10 0 0 10
"""


class Told(EdgeResourceMonitor):
    """Tells after each round of files."""

    def __init__(self, root: Path, *, also: list[Lane] | None = None) -> None:
        super().__init__(root / "sys", root / "proc", storage=root, interval_s=0.0, also=also or [])
        self.read: asyncio.Queue[ResourceUsage] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def _publish(self) -> None:
        super()._publish()
        self._loop.call_soon_threadsafe(self.read.put_nowait, self.latest)


async def follow(monitor: Told, rounds: int) -> ResourceUsage:
    """Run the monitor for some rounds; returns what the last one read."""
    task = asyncio.create_task(monitor.run())
    usage = [await asyncio.wait_for(monitor.read.get(), 10) for _ in range(rounds)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return usage[-1]


def test_before_the_first_reading_all_is_unknown() -> None:
    """Nothing is claimed that was not read."""
    monitor = EdgeResourceMonitor()
    assert (monitor.latest.temp_c.value, monitor.latest.temp_c.reason) == (None, "not read yet")
    assert (monitor.latest.power_w.value, monitor.latest.power_w.reason) == (None, "not read yet")
    assert (monitor.latest.cpu_percent, monitor.latest.memory_percent) == (None, None)
    assert monitor.report().readings == ()


async def test_run_keeps_the_latest_readings(tmp_path: Path) -> None:
    """The control sensors are named, memory and load come from the same readings, and all have an age."""
    unpack(TREE, tmp_path)
    monitor = Told(tmp_path)
    usage = await follow(monitor, 2)
    assert (usage.temp_c.value, usage.temp_c.quality) == (48.0, Quality.MEASURED)
    assert usage.temp_c.source == "thermal_zone0/cpu-thermal"
    assert usage.control_temperature is not None
    assert usage.control_temperature.limits == {"critical": 105.0}
    assert (usage.power_w.value, usage.power_w.quality) == (4.0, Quality.DERIVED)
    assert (usage.memory_percent, usage.memory_used_bytes) == (60.0, 600 * 1024)
    assert usage.cpu_percent is None  # The tree's counters stand still.
    rss = psutil.Process(os.getpid()).memory_info().rss
    assert usage.agent_rss_bytes == pytest.approx(rss, rel=0.2)
    report = monitor.report()
    assert report.control.temperature == "thermal_zone0/cpu-thermal"
    assert (report.value(SensorKind.DISK, "room/total") or 0) > 0
    assert all(0 <= each.age_s < 10 for each in report.readings)


async def test_a_lost_sensor_is_not_replaced_by_a_worse_one(tmp_path: Path) -> None:
    """While the control sensor is silent there is no temperature; when it speaks again there is."""
    unpack(TREE, tmp_path)
    worse = "sys/class/thermal/thermal_zone1/type = gpu-thermal\nsys/class/thermal/thermal_zone1/temp = 40000"
    unpack(worse, tmp_path)
    monitor = Told(tmp_path)
    await follow(monitor, 1)
    temp = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    temp.unlink()
    lost = await follow(monitor, 3)
    assert (lost.temp_c.value, lost.temp_c.reason) == (
        None,
        "the sensor is lost: thermal_zone0/cpu-thermal: is not there",
    )
    temp.write_text("51000\n")
    assert (await follow(monitor, 3)).temp_c.value == 51.0


async def test_a_library_that_hangs_does_not_hold_up_the_files(tmp_path: Path) -> None:
    """Other lanes go on, the loop is never blocked, and what was not read yet is not there."""
    unpack(TREE, tmp_path)
    free, asked = threading.Event(), threading.Event()

    def hang(round_: Round) -> list[SensorReading]:
        asked.set()
        round_.files.call("library/question", lambda: free.wait(20))
        return [round_.reading(SensorKind.GPU, "late", 1.0, "%", "library")]

    monitor = Told(tmp_path, also=[Lane(hang, deadline_s=15.0)])
    task = asyncio.create_task(monitor.run())
    try:
        await asyncio.wait_for(asyncio.to_thread(asked.wait), 10)
        while not monitor.read.empty():
            monitor.read.get_nowait()
        for _ in range(2):
            usage = await asyncio.wait_for(monitor.read.get(), 10)
        assert usage.temp_c.value == 48.0
        assert monitor.report().find(SensorKind.GPU, "late") is None
    finally:
        free.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
