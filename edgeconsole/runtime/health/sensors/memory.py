"""The system's memory, and how much of it the agent may use. Source: proc_meminfo(5)."""

from __future__ import annotations

from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.cgroup import memory_headroom_bytes
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round, whole_number

_FIELDS: Final = (
    ("total", "MemTotal"),
    ("free", "MemFree"),
    ("swap_total", "SwapTotal"),
    ("swap_free", "SwapFree"),
)
_PARTS: Final = ("MemFree", "Buffers", "Cached")


def read_memory(round_: Round) -> list[SensorReading]:
    """Return total, available, free and swap; a field the kernel does not have is not there."""
    path = round_.proc("meminfo")
    try:
        fields = _fields(round_, path)
    except UnreadError as error:
        return [round_.unknown(SensorKind.MEMORY, "total", "B", path, error.reason)]
    readings = [
        round_.reading(SensorKind.MEMORY, name, float(fields[key]), "B", path)
        for name, key in _FIELDS
        if key in fields
    ]
    if "MemTotal" not in fields:
        reason = "has no MemTotal"
        readings.append(round_.unknown(SensorKind.MEMORY, "total", "B", path, reason))
    return [*readings, _available(round_, path, fields)]


def _available(round_: Round, path: str, fields: dict[str, int]) -> SensorReading:
    available, estimated = _available_bytes(fields)
    if available is None:
        reason = "has neither MemAvailable nor what it could be estimated from"
        return round_.unknown(SensorKind.MEMORY, "available", "B", path, reason)
    return round_.reading(
        SensorKind.MEMORY,
        "available",
        float(available),
        "B",
        path,
        quality=Quality.ESTIMATED if estimated else Quality.MEASURED,
        reason="this kernel has no MemAvailable: free, buffers and cache without shared memory"
        if estimated
        else "",
    )


def _available_bytes(fields: dict[str, int]) -> tuple[int | None, bool]:
    """Return what can be had without swapping, and whether that is only an estimate."""
    if "MemAvailable" in fields:
        return fields["MemAvailable"], False
    if any(part not in fields for part in _PARTS):
        return None, True
    parts = sum(fields[part] for part in _PARTS) - fields.get("Shmem", 0)
    return max(0, min(parts, fields.get("MemTotal", parts))), True


def _fields(round_: Round, path: str) -> dict[str, int]:
    """Return `/proc/meminfo` in bytes; raises `UnreadError`."""
    fields: dict[str, int] = {}
    for line in round_.lines(path)[:256]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            try:
                fields[name] = max(0, whole_number(words[0])) * 1024
            except UnreadError:
                continue
    return fields


def headroom_bytes(round_: Round) -> int | None:
    """Return the memory that can still be taken; `None` if nothing tells."""
    try:
        available, _ = _available_bytes(_fields(round_, round_.proc("meminfo")))
    except UnreadError:
        available = None
    known = (each for each in (available, memory_headroom_bytes(round_)) if each is not None)
    return min(known, default=None)
