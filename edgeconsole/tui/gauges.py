"""A device's gauges as text: value, bar, limit, and why a value is unknown. Pure; no Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.fleet.store import DeviceView, Point
from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.tui import columns
from edgeconsole.tui import format as fmt
from edgeconsole.tui.filter import rate_of
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, Run, beside

_HEADROOM: Final = 1.25
"""A bar with a limit ends at so many times the limit, so that "over" can be seen."""
_LABEL: Final = 6
_VALUE: Final = 11
_LEAST_BAR: Final = 8


@dataclass(frozen=True, slots=True)
class Gauge:
    """One gauge."""

    label: str
    text: str
    role: str = "text"
    share: float | None = None
    """How full the bar is, 0 to 1; `None`: unknown."""
    limit: float | None = None
    """Where on the bar the limit is, 0 to 1."""
    trend: tuple[float | None, ...] | None = None
    """Recent values instead of a bar, for what has no limit."""


def _latency(label: str, value: float | None, deadline_ms: float | None) -> Gauge:
    if value is None or deadline_ms is None:
        return Gauge(label, "n/a", "muted", None, 1 / _HEADROOM)
    share = value / deadline_ms
    role = columns.budget_role(share)
    return Gauge(label, f"{fmt.figure(value)} ms", role, share / _HEADROOM, 1 / _HEADROOM)


def _reading_text(reading: Reading, unit: str, digits: int) -> str:
    """Return a reading with its unit, and the mark of what it is worth."""
    if reading.value is None or not math.isfinite(reading.value):
        return "n/a"
    mark = "~" if reading.quality is Quality.ESTIMATED else ""
    sim = " sim" if reading.quality is Quality.SIMULATED else ""
    return f"{mark}{reading.value:.{digits}f} {unit}{sim}"


def _temperature(view: DeviceView, reading: Reading) -> Gauge:
    top = view.max_temp_c * 1.1
    share = None if reading.value is None else reading.value / top
    text = _reading_text(reading, "°C", 1)
    role = "muted" if share is None else columns.temp_role(view)
    return Gauge("temp", text, role, share, view.max_temp_c / top)


def _power(view: DeviceView, reading: Reading, points: Sequence[Point]) -> Gauge:
    text = _reading_text(reading, "W", 1)
    budget_w = view.hello.device.power_budget_w if view.hello else None
    if reading.value is None:
        return Gauge("power", text, "muted")
    if budget_w is None:
        return Gauge("power", text, trend=tuple(point.power_w for point in points))
    share = reading.value / budget_w
    role = "warn" if share > 1 else "text"
    return Gauge("power", text, role, share / _HEADROOM, 1 / _HEADROOM)


def _share(label: str, value: float | None) -> Gauge:
    if value is None:
        return Gauge(label, "n/a", "muted")
    return Gauge(label, f"{value:.1f} %", "text", value / 100)


def gauges(view: DeviceView, points: Sequence[Point]) -> list[Gauge]:
    """Return a device's gauges; without a sample there are none."""
    sample = view.sample
    if sample is None:
        return []
    model = view.active
    deadline_ms = model.deadline_ms if model else None
    rate = rate_of(view)
    return [
        _latency("p50", model.p50_ms if model else None, deadline_ms),
        _latency("p95", model.p95_ms if model else None, deadline_ms),
        _latency("p99", model.p99_ms if model else None, deadline_ms),
        _temperature(view, sample.temp_c),
        _power(view, sample.power_w, points),
        _share("cpu", sample.cpu_percent),
        _share("mem", sample.memory_percent),
        Gauge("req/s", fmt.tenth(rate), trend=tuple(point.rate_per_s for point in points)),
    ]


def reasons(view: DeviceView) -> list[Line]:
    """Return one line for each reading that is unknown, with the reason the device gave."""
    if view.sample is None:
        return []
    readings = (("temp", view.sample.temp_c), ("power", view.sample.power_w))
    return [
        (
            (f" {name:<{_LABEL}}", "muted"),
            (f"n/a: {fmt.escape(reading.reason or 'the device gives no reason')}", "muted"),
        )
        for name, reading in readings
        if reading.value is None
    ]


def bar(gauge: Gauge, width: int, glyphs: Glyphs) -> Line:
    """Draw a gauge's bar, `width` cells wide."""
    if gauge.trend is not None:
        return trend(gauge.trend, width, glyphs)
    share = 0.0 if gauge.share is None else min(1.0, max(0.0, gauge.share))
    full = round(share * width) if share == 0 else max(1, round(share * width))
    limit = None if gauge.limit is None else min(width - 1, round(gauge.limit * width))
    role = "mid" if gauge.role == "text" else gauge.role
    runs: list[Run] = []
    for x in range(width):
        if x == limit:
            over = gauge.share is not None and gauge.limit is not None and gauge.share > gauge.limit
            runs.append((glyphs.limit, role if over else "limit"))
        elif x < full:
            runs.append((glyphs.filled, role))
        else:
            runs.append((glyphs.unfilled, "faint"))
    return _merge(runs)


def trend(values: Sequence[float | None], width: int, glyphs: Glyphs) -> Line:
    """Draw recent values from zero to their own maximum: for what has no limit to be seen against."""
    held = values[-width:]
    recent: list[float | None] = [*([None] * (width - len(held))), *held]
    most = max((value for value in recent if value is not None), default=0.0)
    steps = len(glyphs.ramp) - 1
    runs: list[Run] = []
    for value in recent:
        if value is None:
            runs.append((glyphs.unfilled, "faint"))
        else:
            height = 1 if most <= 0 else 1 + round((steps // 2) * max(0.0, value) / most)
            runs.append((glyphs.ramp[height], "low"))
    return _merge(runs)


def _merge(runs: Sequence[Run]) -> Line:
    merged: list[Run] = []
    for text, role in runs:
        if merged and merged[-1][1] == role:
            merged[-1] = (merged[-1][0] + text, role)
        else:
            merged.append((text, role))
    return tuple(merged)


def gauge_line(gauge: Gauge, width: int, glyphs: Glyphs) -> Line:
    """Return one gauge: label, value, bar."""
    head: Line = ((f"{gauge.label:<{_LABEL}}", "muted"), (f"{gauge.text:>{_VALUE}}", gauge.role))
    room = width - _LABEL - _VALUE - 1
    return head if room < _LEAST_BAR else (*head, (" ", "text"), *bar(gauge, room, glyphs))


def grid(items: Sequence[Gauge], width: int, glyphs: Glyphs) -> list[Line]:
    """Arrange gauges in two or four columns."""
    across = 4 if width >= 112 else 2
    gap = 3
    each = (width - 2 - gap * (across - 1)) // across
    lines: list[Line] = []
    for start in range(0, len(items), across):
        row = [([gauge_line(item, each, glyphs)], each) for item in items[start : start + across]]
        lines.extend(((" ", "text"), *line) for line in beside(row, gap))
    return lines
