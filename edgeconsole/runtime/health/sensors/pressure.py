"""Pressure stall information. Source: the kernel's accounting/psi.rst."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round, whole_number

RESOURCES: Final = ("cpu", "memory", "io", "irq")
_AVERAGES: Final = frozenset({"avg10", "avg60", "avg300"})


def read_pressure(round_: Round) -> list[SensorReading]:
    """Return the system's pressure: shares of the last 10, 60 and 300 s, and total µs."""
    folder = round_.proc("pressure")
    readings = []
    for resource in RESOURCES:
        readings += read_pressure_file(round_, f"{folder}/{resource}", resource)
    return readings


def read_pressure_file(round_: Round, path: str, name: str) -> list[SensorReading]:
    """Return one file's readings; nothing where the kernel has no such file."""
    try:
        lines = round_.lines(path)
    except UnreadError as error:
        if error.missing:
            return []
        return [round_.unknown(SensorKind.PSI, f"{name}.some.avg10", "%", path, error.reason)]
    return list(_parse(round_, lines, path, name))


def _parse(round_: Round, lines: Iterable[str], path: str, name: str) -> Iterator[SensorReading]:
    for line in lines:
        who, *pairs = line.split()[:8] or [""]
        if who not in ("some", "full"):
            continue
        for pair in pairs:
            key, _, text = pair.partition("=")
            unit = "%" if key in _AVERAGES else "µs"
            try:
                value = float(text) if key in _AVERAGES else float(whole_number(text))
            except (ValueError, UnreadError):
                value = -1.0
            if key not in _AVERAGES and key != "total":
                continue
            if not 0 <= value <= 1e18:
                reason = f"{pair[:40]!r} is not plausible"
                yield round_.unknown(SensorKind.PSI, f"{name}.{who}.{key}", unit, path, reason)
                continue
            yield round_.reading(SensorKind.PSI, f"{name}.{who}.{key}", value, unit, path)
