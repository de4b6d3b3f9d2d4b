"""`EdgeResourceMonitor`: reads the device once a second in threads; the loop only sees results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from edgeconsole.protocol.sensors import SensorKind, SensorReading, SensorReport
from edgeconsole.protocol.telemetry import Reading
from edgeconsole.runtime.health.sensors.lane import PROCFS, SYSFS, Lane, file_lane, machine_lanes
from edgeconsole.runtime.health.sensors.report import make_report
from edgeconsole.specs import HealthConfig


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """What was read at one moment; `None` where nothing was."""

    temp_c: Reading
    power_w: Reading
    cpu_percent: float | None
    memory_percent: float | None
    memory_used_bytes: int | None
    agent_rss_bytes: int | None
    control_temperature: SensorReading | None = None
    """The sensor behind `temp_c`, with its limits; without a value if there is none."""
    control_power: SensorReading | None = None
    """The reading behind `power_w`."""


_NOT_READ = ResourceUsage(
    Reading(unit="°C", reason="not read yet"),
    Reading(unit="W", reason="not read yet"),
    *(None,) * 4,
)


class EdgeResourceMonitor:
    """The device's latest readings."""

    def __init__(
        self,
        sysfs_root: Path = SYSFS,
        procfs_root: Path = PROCFS,
        *,
        config: HealthConfig = HealthConfig(),  # noqa: B008 - immutable
        storage: Path | None = None,
        interval_s: float = 1.0,
        also: Sequence[Lane] | None = None,
    ) -> None:
        """Make the monitor; `storage` is a folder whose room counts.

        `also` is what is read beside files, `None`: what this machine has.
        """
        self.latest = _NOT_READ
        self._config = config
        self._files = file_lane(sysfs_root, procfs_root, storage=storage, interval_s=interval_s)
        self._also = machine_lanes(interval_s) if also is None else list(also)
        self._report = SensorReport()
        self._reported_at_s = time.monotonic()
        self._held_tier: int | None = None
        self._process = psutil.Process()

    async def run(self) -> None:
        """Read for ever; what takes long beside the files does not hold them up."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._also:
                lanes.create_task(self._follow(lane))
            lanes.create_task(self._follow(self._files))

    def report(self) -> SensorReport:
        """Return all readings with their ages as of now."""
        late_s = time.monotonic() - self._reported_at_s
        return msgspec.structs.replace(
            self._report,
            readings=tuple(
                msgspec.structs.replace(each, age_s=each.age_s + late_s)
                for each in self._report.readings
            ),
        )

    async def _follow(self, lane: Lane) -> None:
        while True:
            await asyncio.to_thread(self._collect, lane)
            await asyncio.sleep(lane.interval_s)

    def _collect(self, lane: Lane) -> None:
        lane.collect()
        if lane is self._files:
            self._publish()

    def _publish(self) -> None:
        """Make what the lanes read into a report; what others read is as old as it is."""
        made = make_report(self._readings(), self._config, self._held_tier)
        self._held_tier = made.held_tier
        self._report = made.report
        self._reported_at_s = time.monotonic()
        temperature, power = made.temperature, made.power
        total = made.report.value(SensorKind.MEMORY, "total")
        available = made.report.value(SensorKind.MEMORY, "available")
        used = None if total is None or available is None else max(0.0, total - available)
        self.latest = ResourceUsage(
            temp_c=as_reading(temperature),
            power_w=as_reading(power),
            cpu_percent=made.report.value(SensorKind.CPU, "busy"),
            memory_percent=None if used is None or not total else 100 * used / total,
            memory_used_bytes=None if used is None else int(used),
            agent_rss_bytes=self._process.memory_info().rss,
            control_temperature=temperature,
            control_power=power,
        )

    def _readings(self) -> Iterator[SensorReading]:
        now_s = time.monotonic()
        for lane in (self._files, *self._also):
            age_s = 0.0 if lane.read_at_s is None else now_s - lane.read_at_s
            for reading in lane.readings:
                yield msgspec.structs.replace(reading, age_s=age_s)


def as_reading(sensor: SensorReading) -> Reading:
    """Return a control sensor's reading as telemetry has it, named for the screen."""
    if not sensor.believed:
        return Reading(unit=sensor.unit, reason=sensor.reason)
    is_file = sensor.source.startswith("/")
    source = sensor.name if is_file else f"{sensor.name}: {sensor.source}"
    return Reading(sensor.value, sensor.unit, source, sensor.quality)
