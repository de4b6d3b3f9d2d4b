"""Which charts a device has: curves, limits, titles and axes. Pure; no Textual."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.past import Resolution, resolution_for
from edgeconsole.fleet.store import DeviceView, Point
from edgeconsole.protocol.rollups import HOUR_S, MINUTE_S
from edgeconsole.protocol.telemetry import DeviceEvent, Quality
from edgeconsole.tui import format as fmt
from edgeconsole.tui import thermal_lines
from edgeconsole.tui.chart_geometry import GAP_S, Window, chart
from edgeconsole.tui.chart_marks import Mark
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, crop
from edgeconsole.tui.scales import Limit, Series, scale_for

WINDOWS_S: Final = (60.0, 120.0, 300.0, 600.0)
"""The times a chart can show; it grows with what has been seen."""

LONGER_S: Final = (3600.0, 6 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
"""The times beyond that come from the history, in samples, minutes or hours."""
_PLAIN: Final = (Quality.MEASURED, Quality.DERIVED)
_JOINED: Final = 2.5
"""So many times the distance of rows is no gap yet: a row may be missing a part of its time."""


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """One chart without its size."""

    title: Line
    series: tuple[Series, ...]
    limits: tuple[Limit, ...]
    low: float | None
    span: float
    reach: float
    empty: str
    """What to say when there is nothing to draw."""
    most: float = math.inf
    """What no value exceeds."""
    marks: tuple[Mark, ...] = ()
    """Decisions, at the time they were made."""


def window_for(points: Sequence[Point], now: float) -> Window:
    """Return the shortest window that holds all points."""
    held = now - points[0].at if points else 0.0
    return Window(now, next((size for size in WINDOWS_S if held <= size), WINDOWS_S[-1]))


def longer_window(seconds: float, now: float) -> Window:
    """Return the window of a time that comes from the history."""
    size = {Resolution.RAW: 1.0, Resolution.MINUTE: MINUTE_S, Resolution.HOUR: HOUR_S}
    gap_s = max(GAP_S, _JOINED * size[resolution_for(seconds)])
    return Window(now, seconds, gap_s)


def titled(spec: ChartSpec, seconds: float, points: Sequence[Point] | None) -> ChartSpec:
    """Return a chart that says of how long a time it is, or that it is being read."""
    said = f"   last {fmt.age(seconds)}"
    empty = "reading the history …" if points is None else "nothing is stored of this time"
    return replace(spec, title=(*spec.title, (said, "muted")), empty=empty)


def _series(role: str, points: Sequence[Point], read: Callable[[Point], float | None]) -> Series:
    return Series(role, tuple((point.at, read(point)) for point in points))


def marks(
    view: DeviceView, newest_first: Sequence[DeviceEvent], now: float, glyphs: Glyphs
) -> tuple[Mark, ...]:
    """Return the marks of transitions and of new bundles, on the clock of the chart, oldest first.

    The device's clock may be wrong: its latest sample tells how late it is there.
    """
    behind_s = _behind_s(view, now)
    if behind_s is None:
        return ()
    found: list[Mark] = []
    for event in reversed(newest_first):
        if event.activated:
            variant = event.activated.rpartition("/")[2]
            at = event.time_unix_s + behind_s
            found.append(Mark(at, glyphs.switch, fmt.escape(variant), "accent"))
        moved = event.transition
        if moved is not None:
            down = moved.after.depth > moved.before.depth
            level = Level.FAILSAFE if down else Level.OK
            found.append(
                Mark(
                    moved.time_unix_s + behind_s,
                    glyphs.shapes[level],
                    moved.after.value,
                    "failsafe" if down else "ok",
                )
            )
    return tuple(found)


def heat_marks(
    view: DeviceView, newest_first: Sequence[DeviceEvent], now: float, glyphs: Glyphs
) -> tuple[Mark, ...]:
    """Return likewise the marks of the thermal policy's states; steps within one would hide its word."""
    behind_s = _behind_s(view, now)
    if behind_s is None:
        return ()
    found: list[Mark] = []
    for event in reversed(newest_first):
        moved = event.thermal
        if moved is not None and moved.before is not moved.after:
            role, level = thermal_lines.mark(moved)
            at_s = moved.time_unix_s + behind_s
            found.append(Mark(at_s, glyphs.shapes[level], moved.after.value, role))
    return tuple(found)


def _behind_s(view: DeviceView, now: float) -> float | None:
    if view.sample is None or view.age_s is None:
        return None
    return now - view.age_s - view.sample.time_unix_s


def latency(view: DeviceView, points: Sequence[Point], marks: tuple[Mark, ...] = ()) -> ChartSpec:
    """Return the chart of p50, p95 and p99 against the deadline."""
    title: Line = (("latency ms  ", "text"), ("p50 ", "low"), ("p95 ", "mid"), ("p99", "high"))
    limits: tuple[Limit, ...] = ()
    if view.active is not None:
        deadline_ms = view.active.deadline_ms
        title = (*title, (f"   deadline {fmt.limit(deadline_ms)}", "limit"))
        limits = (Limit(deadline_ms, "crit", hard=False),)
    series = (
        _series("low", points, lambda point: point.p50_ms),
        _series("mid", points, lambda point: point.p95_ms),
        _series("high", points, lambda point: point.p99_ms),
    )
    return ChartSpec(title, series, limits, 0.0, 0.01, 1.5, "no answers in this time", marks=marks)


def temperature(
    view: DeviceView, points: Sequence[Point], marks: tuple[Mark, ...] = ()
) -> ChartSpec:
    """Return the chart of the temperature against its two limits."""
    warn_c, most_c = view.warn_temp_c, view.max_temp_c
    title: Line = (
        ("temperature °C", "text"),
        (f"   warning {warn_c:.0f}  limit {most_c:.0f}", "limit"),
    )
    limits = (Limit(warn_c, "warn", hard=False), Limit(most_c, "crit"))
    series = (_series("high", points, lambda point: point.temp_c),)
    missing = _missing(view, "temperature")
    title = (*title, *_simulated(view))
    return ChartSpec(title, series, limits, None, 20.0, 0.75, missing, marks=marks)


def power(view: DeviceView, points: Sequence[Point], marks: tuple[Mark, ...] = ()) -> ChartSpec:
    """Return the chart of the power drawn, against the budget if there is one."""
    budget_w = view.hello.device.power_budget_w if view.hello else None
    title: Line = (("power W", "text"),)
    limits: tuple[Limit, ...] = ()
    if budget_w is not None:
        title = (*title, (f"   budget {fmt.limit(budget_w)}", "limit"))
        limits = (Limit(budget_w, "warn", hard=False),)
    series = (_series("high", points, lambda point: point.power_w),)
    title = (*title, *_simulated(view), *_power_source(view))
    return ChartSpec(title, series, limits, 0.0, 1.0, 1.5, _missing(view, "power"), marks=marks)


def load(points: Sequence[Point]) -> ChartSpec:
    """Return the chart of CPU and memory use."""
    title: Line = (("load %  ", "text"), ("mem ", "low"), ("cpu", "high"))
    series = (
        _series("low", points, lambda point: point.memory_percent),
        _series("high", points, lambda point: point.cpu_percent),
    )
    return ChartSpec(title, series, (), 0.0, 100.0, 0.0, "the device does not say", most=100.0)


def _simulated(view: DeviceView) -> Line:
    heat = None if view.sample is None else view.sample.thermal
    simulated = heat is not None and heat.simulated
    return ((f"  {thermal_lines.SIMULATED}", "limit"),) if simulated else ()


def _power_source(view: DeviceView) -> Line:
    """Name what the power is of, and say so if it is only estimated."""
    reading = None if view.sample is None else view.sample.power_w
    if reading is None or reading.value is None or not reading.source:
        return ()
    kind = "" if reading.quality in _PLAIN else f"{reading.quality.value}: "
    return ((f"   {kind}{fmt.escape(reading.source)}", "muted"),)


def _missing(view: DeviceView, what: str) -> str:
    if view.sample is None:
        return "no samples yet"
    reading = view.sample.temp_c if what == "temperature" else view.sample.power_w
    return f"n/a: {fmt.escape(reading.reason or 'not measured')}"


def draw(spec: ChartSpec, window: Window, size: tuple[int, int], glyphs: Glyphs) -> list[Line]:
    """Draw a chart with its title into `size` (width, height) cells."""
    width, height = size
    if width < 12 or height < 4:
        return [crop(spec.title, width)]
    body_height = height - 1
    if not any(value is not None for curve in spec.series for _, value in curve.points):
        blank: list[Line] = [()] * body_height
        blank[body_height // 2] = ((fmt.cut("  " + spec.empty, width), "muted"),)
        return [crop(spec.title, width), *blank]
    intervals = max(1, min(6, (body_height - 2) // 2))
    scale = scale_for(
        spec.series,
        spec.limits,
        intervals,
        low=spec.low,
        span=spec.span,
        reach=spec.reach,
        most=spec.most,
    )
    body = chart(
        spec.series,
        spec.limits,
        scale,
        window,
        (width, body_height),
        glyphs=glyphs,
        marks=spec.marks,
    )
    return [crop(spec.title, width), *body]
