"""The Fleet screen's inspector: one device's charts and last events in a corner. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from edgeconsole.fleet.store import DeviceView, Point
from edgeconsole.protocol.telemetry import DeviceEvent
from edgeconsole.tui import charts, device_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.columns import row_role
from edgeconsole.tui.frame import Frame
from edgeconsole.tui.glyphs import LEVEL_ROLES, Glyphs
from edgeconsole.tui.runs import Line, beside, crop, join, pad

MOST_DEVICES: Final = 30
"""Larger fleets need the room for rows."""
SIDE_WIDTH: Final = 60
LOWER_HEIGHT: Final = 14
_EVENTS: Final = 3


class Place(Enum):
    """Where the inspector is."""

    NONE = "none"
    LOWER = "lower"
    SIDE = "side"


def place(width: int, height: int, devices: int) -> Place:
    """Say where the inspector goes on a screen of this size."""
    if not 0 < devices <= MOST_DEVICES:
        return Place.NONE
    if width >= 140:
        return Place.SIDE
    return Place.LOWER if width >= 100 and height >= 34 else Place.NONE


def _title(view: DeviceView, width: int, glyphs: Glyphs) -> Line:
    role = LEVEL_ROLES[view.level]
    parts: list[Line] = [
        ((fmt.escape(view.id), "strong"),),
        ((f"{glyphs.shapes[view.level]} {role}", role),),
    ]
    if view.hello is not None and view.hello.device.device_class:
        parts.append(((fmt.escape(view.hello.device.device_class), "muted"),))
    if view.sample is not None:
        parts.append(((f"up {fmt.duration(view.sample.uptime_s)}", "muted"),))
    return crop(join(parts), width)


def _why(view: DeviceView, width: int) -> Line:
    if view.orders:
        order = view.orders[0]
        text = f"{order.outcome.value}: {order.order.line}"
        return ((fmt.cut(fmt.escape(text), width), "warn"),)
    return ((fmt.cut(fmt.escape(view.level_reason), width), "text"),)


def _events(events: Sequence[DeviceEvent], frame: Frame, width: int, glyphs: Glyphs) -> list[Line]:
    if not events:
        return [((" no events heard so far", "muted"),)]
    kind = width >= 80
    return [
        device_lines.event_line(event, frame, width, glyphs, kind=kind)
        for event in events[:_EVENTS]
    ]


def side(
    view: DeviceView,
    frame: Frame,
    points: Sequence[Point],
    events: Sequence[DeviceEvent],
    *,
    size: tuple[int, int],
    glyphs: Glyphs,
) -> list[Line]:
    """Draw it as a column, `size` (width, height) cells."""
    inner = size[0] - 3
    window = charts.window_for(points, frame.at)
    each = min(14, max(6, (size[1] - 3 - _EVENTS - 3) // 2))
    graphs: list[Line] = []
    marks = charts.marks(view, events, frame.at, glyphs)
    for spec in (charts.latency(view, points, marks), charts.temperature(view, points)):
        graphs += [*charts.draw(spec, window, (inner, each), glyphs), ()]
    lines = [_title(view, inner, glyphs), _why(view, inner), ()]
    lines += device_lines.quiet(graphs, row_role(view))
    lines += _events(events, frame, inner, glyphs)
    bar: Line = ((f" {glyphs.divider} ", "faint"),)
    lines = lines[: size[1]] + [()] * (size[1] - len(lines))
    return [(*bar, *pad(line, inner)) for line in lines]


def lower(
    view: DeviceView,
    frame: Frame,
    points: Sequence[Point],
    events: Sequence[DeviceEvent],
    *,
    size: tuple[int, int],
    glyphs: Glyphs,
) -> list[Line]:
    """Draw it as a band, `size` (width, height) cells."""
    width, height = size
    window = charts.window_for(points, frame.at)
    half = (width - 4) // 2
    each = height - 2 - _EVENTS
    marks = charts.marks(view, events, frame.at, glyphs)
    blocks = [
        (charts.draw(spec, window, (half, each), glyphs), half)
        for spec in (charts.latency(view, points, marks), charts.temperature(view, points))
    ]
    title = join([_title(view, width - 2, glyphs), _why(view, width - 2)], "   ")
    graphs: list[Line] = [((" ", "text"), *line) for line in beside(blocks)]
    return [
        ((glyphs.rule * width, "faint"),),
        crop(((" ", "text"), *title), width),
        *device_lines.quiet(graphs, row_role(view)),
        *_events(events, frame, width, glyphs),
    ][:height]
