"""The failsafe ladder of a device as text: each route's rung, what else it has, and what waits.

Pure; no Textual.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.fleet.levels import Freshness, Level
from edgeconsole.fleet.orders import Standing
from edgeconsole.fleet.routes import answering, why_text
from edgeconsole.fleet.store import DeviceView
from edgeconsole.protocol.failsafe import RouteSample, RungSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.tui import format as fmt
from edgeconsole.tui.device_lines import section
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, crop, join, line_width
from edgeconsole.tui.why_lines import override_text, route_level

_INDENT: Final = 4
_WANTED: Final = (Rung.FALLBACK, Rung.STATIC)
"""Rungs that a device should have; without the others it can be well."""


def ladder(
    view: DeviceView, wall: datetime, width: int, glyphs: Glyphs, *, short: bool = False
) -> list[Line]:
    """Return the section of the failsafe ladder; `short`: one line for each route that is well."""
    lines = [section("failsafe ladder", width, glyphs)]
    if view.sample is None or not view.sample.routes:
        what = "no sample yet" if view.sample is None else "this agent has none"
        return [*lines, ((f"  {what}", "muted"),)]
    ahead_s = view.sample.time_unix_s + (view.age_s or 0.0) - wall.timestamp()
    for route in view.sample.routes:
        forced = override_text(route, wall, ahead_s)
        lines += _route(route, forced, width, glyphs, short=short)
    if view.freshness is not Freshness.LIVE and view.age_s is not None:
        heard = f"  so it stood {fmt.age(view.age_s)} ago; now it is unknown"
        lines.append(((heard, "stale"),))
    return lines


def _route(
    route: RouteSample, forced: str, width: int, glyphs: Glyphs, *, short: bool
) -> list[Line]:
    level = route_level(route)
    well = level is Level.OK
    role = "text" if well else "crit" if level is Level.CRITICAL else "failsafe"
    title: Line = (
        (f" {glyphs.shapes[level]} ", "ok" if well else role),
        (f"{fmt.escape(route.model)} ", "strong"),
        (f" {fmt.escape(answering(route))}", role),
        (f"  for {fmt.duration(route.held_s)}", "muted"),
    )
    if well and short:
        return [crop(join([title, *_brief(route, glyphs)], "   "), width)]
    rungs = [_rung(route, each, glyphs) for each in route.rungs]
    if well:
        return _wrapped([title[:3], *rungs], width, first=0)
    why: Line = ((forced or fmt.escape(why_text(route)), role),)
    return [
        crop(join([title, why]), width),
        *_wrapped(rungs, width),
        *_wrapped(_counts(route), width),
    ]


def _brief(route: RouteSample, glyphs: Glyphs) -> list[Line]:
    """Return the rungs below the primary: those that could answer, and those that could not."""
    below = [each for each in route.rungs if each.rung.depth > 0]
    return [
        _rung(route, each, glyphs)[:2]
        if each.available
        else ((f"no rung {each.rung.depth}", "warn" if each.rung in _WANTED else "muted"),)
        for each in below
    ]


def _rung(route: RouteSample, rung: RungSample, glyphs: Glyphs) -> Line:
    """Return one rung: by what and at which cost it could answer, or why it could not."""
    number, name = rung.rung.depth, rung.rung.value.replace("_", " ")
    if not rung.available:
        role = "warn" if rung.rung in _WANTED else "muted"
        which = f" {fmt.escape(rung.model)}" if rung.model else ""
        return ((f"no rung {number} {name}{which}: ", role), (fmt.escape(rung.reason), role))
    here = rung.rung is route.rung
    parts = [fmt.escape("/".join(part for part in (rung.model, rung.variant) if part))]
    if rung.memory_bytes is not None:
        parts.append(fmt.megabytes(rung.memory_bytes))
    if rung.self_test_age_s is not None:
        parts.append(f"tested {fmt.age(rung.self_test_age_s)} ago")
    detail = " ".join(part for part in parts if part)
    return (
        (glyphs.mark if not here else glyphs.pointer, "accent" if here else "muted"),
        (f" {number} {name}", "strong" if here else "text"),
        (f" {detail}" if detail else "", "muted"),
    )


def _counts(route: RouteSample) -> list[Line]:
    """Return how many answers came from which rung, and what else was counted."""
    if not route.answers:
        return []
    lines: list[Line] = [
        ((f"{fmt.escape(name)} ", "muted"), (fmt.count(number), "text"))
        for name, number in route.answers.items()
    ]
    lines[0] = (("answers ", "muted"), *lines[0])
    others = (
        ("hedged", route.hedged_total),
        ("late dropped", route.late_dropped_total),
        ("changes in an hour", route.transitions_last_hour),
    )
    return [*lines, *(((f"{name} {number:,}", "muted"),) for name, number in others if number)]


def _wrapped(parts: Sequence[Line], width: int, *, first: int = _INDENT) -> list[Line]:
    """Lay parts out over as many lines as they need, none of them broken."""
    lines: list[Line] = []
    line: Line = ()
    for part in parts:
        joined = join([line, part], "   ")
        if line and line_width(joined) > width - _INDENT - 1:
            lines.append(line)
            joined = part
        line = joined
    if line:
        lines.append(line)
    indents = [first, *[_INDENT] * (len(lines) - 1)]
    return (
        [
            crop(((" " * indent, "text"), *each), width)
            for indent, each in zip(indents, lines, strict=True)
        ]
        if lines
        else []
    )


def waiting(orders: Sequence[Standing], wall: datetime, width: int) -> list[Line]:
    """Return one line for each order that has not arrived yet."""
    return [_waiting(each, wall, width) for each in orders]


def _waiting(standing: Standing, wall: datetime, width: int) -> Line:
    order = standing.order
    left_s = order.send_before_unix_s - wall.timestamp()
    until = f"expires in {duration_text(left_s)}" if left_s > 0 else "expires now"
    detail = f": {fmt.escape(standing.detail)}" if standing.detail else ""
    line: Line = (
        (f" {standing.outcome.value} ", "badge"),
        (f" {fmt.escape(order.line)}", "text"),
        (f"  by {fmt.escape(order.actor)}, {until}{detail}", "muted"),
    )
    return crop(line, width)
