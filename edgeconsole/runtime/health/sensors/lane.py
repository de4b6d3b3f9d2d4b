"""Sources that are read together, one round after the other: files, NVIDIA's library, a vendor's tool."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from edgeconsole.protocol.sensors import SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import FileReader, Files, UnreadError
from edgeconsole.runtime.health.sensors.guard import DEADLINE_S
from edgeconsole.runtime.health.sensors.nvidia import load_nvml, read_gpus
from edgeconsole.runtime.health.sensors.raspberry import (
    TOOL_TIMEOUT_S,
    Runner,
    find_runner,
    read_firmware,
)
from edgeconsole.runtime.health.sensors.round import Count, Round
from edgeconsole.runtime.health.sensors.storage import read_room
from edgeconsole.runtime.health.sensors.survey import read_files

SYSFS: Final = Path("/sys")
PROCFS: Final = Path("/proc")
_LIBRARY_DEADLINE_S: Final = 2.0
_TOOL_INTERVAL_S: Final = 5.0


class Lane:
    """A collector with its thread, its counters and its latest readings."""

    def __init__(
        self,
        read: Callable[[Round], list[SensorReading]],
        sysfs_root: Path = SYSFS,
        procfs_root: Path = PROCFS,
        *,
        deadline_s: float = DEADLINE_S,
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sysfs_root = sysfs_root
        self.procfs_root = procfs_root
        self.interval_s = interval_s
        self.clock = clock
        self.readings: tuple[SensorReading, ...] = ()
        self.read_at_s: float | None = None
        """When they were read; `None`: never."""
        self._read = read
        self._reader = FileReader(deadline_s=deadline_s)
        self._counts: dict[str, Count] = {}

    def collect(self) -> None:
        """Read everything once; blocks the calling thread, at most as long as reads hang."""
        try:
            self.readings, self._counts = self._reader.round(self._work)
        except UnreadError as error:
            self.readings = tuple(_lost(each, error.reason) for each in self.readings)
        self.read_at_s = self.clock()

    def _work(self, files: Files) -> tuple[tuple[SensorReading, ...], dict[str, Count]]:
        round_ = Round(
            files,
            str(self.sysfs_root.absolute()),
            str(self.procfs_root.absolute()),
            self.clock,
            self._counts,
        )
        return tuple(self._read(round_)), round_.after


def _lost(reading: SensorReading, reason: str) -> SensorReading:
    return msgspec.structs.replace(reading, value=None, quality=Quality.UNKNOWN, reason=reason)


def file_lane(
    sysfs_root: Path = SYSFS,
    procfs_root: Path = PROCFS,
    *,
    storage: Path | None = None,
    interval_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
) -> Lane:
    """Return the lane of everything that files say, and of the room where `storage` is."""

    def read(round_: Round) -> list[SensorReading]:
        room = [] if storage is None else read_room(round_, str(storage))
        return [*read_files(round_), *room]

    return Lane(read, sysfs_root, procfs_root, interval_s=interval_s, clock=clock)


def machine_lanes(
    interval_s: float = 1.0, *, nvml: Any | None = None, runner: Runner | None = None
) -> list[Lane]:
    """Return the lanes of what only this machine itself can be asked: NVML, a firmware's tool.

    `nvml` and `runner` are what is asked in place of the library and the tool that are installed.
    """
    library = nvml if nvml is not None else load_nvml()
    lanes = [
        Lane(
            lambda round_: read_gpus(round_, library),
            deadline_s=_LIBRARY_DEADLINE_S,
            interval_s=interval_s,
        )
    ]
    tool = runner if runner is not None else find_runner()
    if tool is not None:
        lanes.append(
            Lane(
                lambda round_: read_firmware(round_, tool),
                deadline_s=TOOL_TIMEOUT_S + 1.0,
                interval_s=max(interval_s, _TOOL_INTERVAL_S),
            )
        )
    return lanes
