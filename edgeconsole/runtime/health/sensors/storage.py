"""What disks transferred, how busy they were, and what room is left.

Sources: the kernel's iostats.rst, proc_diskstats(5), statvfs(3).
"""

from __future__ import annotations

import os
import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Count, Round, whole_number

_SECTOR_BYTES: Final = 512
"""Of these statistics, whatever the disk's own sectors are."""
_NOT_DISKS: Final = re.compile(
    r"(loop|ram|zram|fd|sr|nbd|md|dm-)[0-9].*|mmcblk[0-9]+(p|boot|rpmb)[0-9]*"
    r"|nvme[0-9]+(c[0-9]+)?n[0-9]+p[0-9]+|(sd|hd|vd|xvd)[a-z]+[0-9]+"
)
_MOST_DISKS: Final = 32


def read_disks(round_: Round) -> list[SensorReading]:
    """Return bytes read and written since boot by disk, and the share of time it was busy."""
    path = round_.proc("diskstats")
    try:
        lines = round_.lines(path)
    except UnreadError:
        return []
    readings: list[SensorReading] = []
    for line in lines:
        words = line.split()
        if len(words) < 14 or _NOT_DISKS.fullmatch(words[2]):
            continue
        try:
            sectors_read, sectors_written, busy_ms = (
                whole_number(words[5]),
                whole_number(words[9]),
                whole_number(words[12]),
            )
        except UnreadError:
            continue
        if len(readings) >= 3 * _MOST_DISKS:
            break
        name, kind = words[2], SensorKind.DISK
        for what, sectors in (("read", sectors_read), ("written", sectors_written)):
            value = float(sectors * _SECTOR_BYTES)
            readings.append(round_.reading(kind, f"{name}/{what}", value, "B", path))
        readings.append(_busy(round_, name, path, busy_ms))
    return readings


def read_room(round_: Round, folder: str) -> list[SensorReading]:
    """Return the size of the file system a folder is on, and what of it this user may still fill."""

    def ask() -> tuple[int, int]:
        try:
            found = os.statvfs(folder)
        except OSError as error:
            raise UnreadError(error.strerror or str(error)) from error
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    try:
        sizes = round_.files.call(f"statvfs{folder}", ask)
    except UnreadError as error:
        return [round_.unknown(SensorKind.DISK, "room/free", "B", folder, error.reason)]
    return [
        round_.reading(SensorKind.DISK, name, float(size), "B", folder)
        for name, size in zip(("room/free", "room/total"), sizes, strict=True)
    ]


def _busy(round_: Round, name: str, path: str, busy_ms: int) -> SensorReading:
    at_s = round_.clock()
    before: Count | None = round_.count(f"disk/{name}", float(busy_ms), at_s)
    if before is None or at_s <= before.at_s or busy_ms < before.value:
        reason = "needs a second reading"
        return round_.unknown(SensorKind.DISK, f"{name}/busy", "%", path, reason)
    share = min(100.0, (busy_ms - before.value) / 10 / (at_s - before.at_s))
    return round_.reading(
        SensorKind.DISK, f"{name}/busy", share, "%", path, quality=Quality.DERIVED
    )
