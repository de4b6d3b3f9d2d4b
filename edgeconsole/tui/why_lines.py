"""The decision trace as text: what holds each rung now, and what led there. Pure; no Textual.

The Why screen and `edgeconsole why` show the same lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.routes import answering, degraded, stopped, why_text
from edgeconsole.protocol.failsafe import Condition, RouteSample, Transition
from edgeconsole.tui import format as fmt
from edgeconsole.tui import thermal_lines
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, Run, crop, join
from edgeconsole.tui.tabular import Head, table

_HEADS: Final = (
    Head("", 1, right=False, most=2),
    Head("condition", 1, right=False, most=28),
    Head("measured", 2, most=12),
    Head("threshold", 3, most=12),
    Head("unit", 6, right=False, most=15),
    Head("held", 4, most=9),
    Head("needed", 5, most=9),
)


def route_level(route: RouteSample) -> Level:
    """Return how bad it is that a route stands where it stands."""
    if stopped(route):
        return Level.CRITICAL
    return Level.FAILSAFE if degraded(route) or route.override else Level.OK


def override_text(route: RouteSample, wall: datetime, ahead_s: float) -> str:
    """Return who forced it and until when; empty if nobody did.

    The end is by the device's clock, which is `ahead_s` ahead of ours.
    """
    override = route.override
    if override is None:
        return ""
    until_unix_s = override.until_unix_s - ahead_s
    left_s = until_unix_s - wall.timestamp()
    left = f" ({duration_text(left_s)} left)" if left_s > 0 else " (about to end)"
    until = fmt.time_of_day(until_unix_s, wall)
    who = f"{override.kind.value} forced by {fmt.escape(override.actor)} until {until}{left}"
    return f"{who}: {fmt.escape(override.reason)}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{fmt.limit(value)} s"


def _figure(value: float | None, other: float | None) -> str:
    """Return a figure: a dash where it is unknown, nothing where there is none to know."""
    return "" if value is None and other is None else fmt.figure(value)


def conditions(
    found: Sequence[Condition], width: int, glyphs: Glyphs, indent: str = "   "
) -> list[Line]:
    """Return a table of conditions, what is met first, with what the device says of each behind."""
    ordered = sorted(found, key=lambda each: (not each.met, each.measured is None))
    rows = [_row(each, glyphs) for each in ordered]
    lines = table(_HEADS, rows, width - len(indent)) if rows else []
    details = ["", *(fmt.escape(each.detail) for each in ordered)]
    return [
        crop(((indent, "text"), *line, (detail, "muted")), width)
        for line, detail in zip(lines, details, strict=False)
    ]


def _row(condition: Condition, glyphs: Glyphs) -> list[Run]:
    met = condition.met
    role = "strong" if met else "muted"
    measured, threshold = condition.measured, condition.threshold
    return [
        (glyphs.mark if met else "·", "accent" if met else "faint"),
        (fmt.escape(condition.name.replace("_", " ")), role),
        (_figure(measured, threshold), role),
        (_figure(threshold, None), role),
        (fmt.escape(condition.unit), "muted"),
        (_seconds(condition.held_s), role),
        (_seconds(condition.needed_s), role),
    ]


def _route(
    route: RouteSample, wall: datetime, ahead_s: float, width: int, *, glyphs: Glyphs
) -> list[Line]:
    level = route_level(route)
    role = "strong" if level is Level.OK else "crit" if level is Level.CRITICAL else "failsafe"
    title: Line = (
        (f" {glyphs.shapes[level]} ", role),
        (fmt.escape(route.model), "strong"),
        (f"  {fmt.escape(answering(route))}", role),
        (f"  for {fmt.duration(route.held_s)}", "text"),
    )
    forced = override_text(route, wall, ahead_s)
    why: Line = ((fmt.escape(why_text(route)), "text"),)
    lines = [crop(join([title, () if forced else why]), width)]
    if forced:
        lines.append(crop((("   ", "text"), (forced, "failsafe")), width))
    if route.latched:
        what = route.alarm or "it changed too often"
        text = f"latched: {fmt.escape(what)}; it climbs again when it is released"
        lines.append(crop((("   ", "text"), (text, "crit")), width))
    return lines


def transition_lines(
    each: Transition, wall: datetime, width: int, glyphs: Glyphs, *, newest: bool
) -> list[Line]:
    """Return one transition with the conditions that made it so."""
    down = each.after.depth > each.before.depth
    level = Level.FAILSAFE if down else Level.OK
    words = [each.cause.replace("_", " "), each.reason if each.reason != each.cause else ""]
    if each.actor:
        words.append(f"by {each.actor}")
    title: Line = (
        (f" {fmt.time_of_day(each.time_unix_s, wall)} ", "muted"),
        (glyphs.shapes[level], "failsafe" if down else "ok"),
        (f" {fmt.escape(each.model)} ", "strong"),
        (f" {each.before.value} → {each.after.value} ", "failsafe" if down else "text"),
        (f" {fmt.escape(', '.join(word for word in words if word))}", "text"),
    )
    # Of older ones only what was met: it is what made the difference.
    shown = [held for held in each.conditions if newest or held.met]
    return [crop(title, width), *conditions(shown, width, glyphs, " " * 12)]


def _source(said: Explanation, width: int) -> Line:
    if said.live:
        return ((" in the device's own words, just now", "muted"),)
    note = f": {fmt.escape(said.note)}" if said.note else ""
    return crop(((f" from the history; the device was not asked{note}", "stale"),), width)


def lines(said: Explanation, wall: datetime, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the whole trace."""
    shown: list[Line] = [_source(said, width), ()]
    if said.routes or said.conditions or said.heat is not None:
        shown += _held(said, wall, width, glyphs)
    shown += _heat(said, wall, width, glyphs)
    shown.append(((" how it came there", "muted"),))
    if not said.transitions and not said.thermal_transitions:
        shown.append((("   no transition is known", "muted"),))
    told = [
        (each.time_unix_s, transition_lines(each, wall, width, glyphs, newest=place == 0))
        for place, each in enumerate(said.transitions)
    ]
    told += [
        (
            each.time_unix_s,
            thermal_lines.transition_lines(
                each, wall, width, glyphs, lambda met: conditions(met, width, glyphs, " " * 12)
            ),
        )
        for each in said.thermal_transitions
    ]
    for _, lines_of_one in sorted(told, key=lambda each: -each[0]):
        shown += lines_of_one
    return shown


def _heat(said: Explanation, wall: datetime, width: int, glyphs: Glyphs) -> list[Line]:
    """Return where the thermal policy stands, and what it looked at, where the device said it."""
    heat, held = said.heat, said.thermal
    if heat is None:
        return []
    level = thermal_lines.LEVELS[heat.state]
    why = heat.reason or thermal_lines.held_back(heat.allowance)
    title: Line = (
        (f" {glyphs.shapes[level]} heat", "text"),
        (f"  {heat.state}", "strong"),
        (f"  for {fmt.duration(heat.held_s)}", "text"),
        (f"   {fmt.escape(why)}" if why else "", "text"),
        (f"  {thermal_lines.SIMULATED}" if heat.simulated else "", "limit"),
    )
    lines = [crop(title, width)]
    forced = thermal_lines.override_text(heat, wall, said.age_s)
    if forced:
        lines.append(crop((("   ", "text"), (forced, "failsafe")), width))
    return [*lines, *conditions(held.conditions if held else (), width, glyphs), ()]


def _held(said: Explanation, wall: datetime, width: int, glyphs: Glyphs) -> list[Line]:
    """Return where each route stands and what the latest decision looked at."""
    title = "what holds it now" if said.live else "how it stood when it was last heard"
    shown: list[Line] = [((f" {title}", "muted" if said.live else "stale"),)]
    latest = {each.model: each.conditions for each in said.conditions}
    named = {route.model for route in said.routes}
    for route in said.routes:
        shown += _route(route, wall, said.ahead_s, width, glyphs=glyphs)
        shown += conditions(latest.get(route.model, ()), width, glyphs)
    for other in said.conditions:
        if other.model not in named:
            shown.append(((f"   {fmt.escape(other.model)}  {other.rung.value}", "strong"),))
            shown += conditions(other.conditions, width, glyphs)
    return [*shown, ()]
