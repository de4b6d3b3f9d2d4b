"""A report of all sensors as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading, SensorReport
from edgeconsole.protocol.telemetry import Quality

_MARKS: Final = {Quality.ESTIMATED: "~", Quality.SIMULATED: "sim ", Quality.UNKNOWN: "? "}
_BYTES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_MAX_NAME_WIDTH: Final = 44


def table_lines(report: SensorReport) -> Iterator[str]:
    """Yield the lines: by kind, name, value, then limits, state and what there is to say."""
    width = min(_MAX_NAME_WIDTH, max((len(each.name) for each in report.readings), default=0))
    values = [_value(each) for each in report.readings]
    value_width = max((len(value) for value in values), default=0)
    controls = {report.control.temperature, report.control.power} - {None}
    order = {kind: index for index, kind in enumerate(SensorKind)}
    readings = sorted(report.readings, key=lambda each: order[each.kind])
    for kind, of_kind in groupby(readings, key=lambda each: each.kind):
        yield f"{kind.value.replace('_', ' ').upper()}"
        for reading in of_kind:
            mark = "→" if reading.name in controls and _may_control(reading) else " "
            name = reading.name.ljust(width)
            line = f"{mark} {name}  {_value(reading).rjust(value_width)}  {_remarks(reading)}"
            yield line.rstrip()
    yield ""
    yield f"control temperature  {report.control.temperature or 'none'}"
    yield f"control power        {report.control.power or 'none'}"
    power_w, limit = report.totals.power_w, report.totals.memory_limit_bytes
    yield f"total power          {'unknown' if power_w is None else f'{power_w:.1f} W'}"
    yield f"memory limit         {'unknown' if limit is None else _size(limit)}"


def _may_control(reading: SensorReading) -> bool:
    return reading.believed and reading.unit in ("°C", "W")


def _value(reading: SensorReading) -> str:
    if reading.value is None:
        return "n/a"
    mark = _MARKS.get(reading.quality, "")
    if reading.unit == "B":
        return mark + _size(reading.value)
    text = f"{reading.value:.3f}".rstrip("0").rstrip(".")
    return f"{mark}{text}{'' if reading.unit == '1' else f' {reading.unit}'}"


def _size(size: float) -> str:
    for unit, factor in _BYTES:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


def _remarks(reading: SensorReading) -> str:
    limits = ", ".join(f"{name} {value:g}" for name, value in reading.limits.items())
    remarks = [reading.state, limits, reading.reason]
    if reading.value is None and reading.kind is not SensorKind.PSI:
        remarks.append(reading.source)
    return " · ".join(remark for remark in remarks if remark)
