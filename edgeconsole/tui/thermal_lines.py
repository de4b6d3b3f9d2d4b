"""The thermal policy as text: state, limit, margin, what is held back, and why. Pure; no Textual.

The Device screen, the Why screen and `edgeconsole why` show these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.store import DeviceView
from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.thermal import (
    ThermalAllowance,
    ThermalSample,
    ThermalState,
    ThermalTransition,
)
from edgeconsole.tui import format as fmt
from edgeconsole.tui.glyphs import LEVEL_ROLES, Glyphs
from edgeconsole.tui.runs import Line, crop, join, line_width

LEVELS: Final = {
    ThermalState.UNKNOWN: Level.UNKNOWN,
    ThermalState.NOMINAL: Level.OK,
    ThermalState.WARM: Level.WARNING,
    ThermalState.HOT: Level.WARNING,
    ThermalState.CRITICAL: Level.CRITICAL,
}
SIMULATED: Final = "SIMULATED"
_NO_TIME: Final = "—"

Conditions = Callable[[Sequence[Condition]], list[Line]]


def held_back(allowance: ThermalAllowance) -> str:
    """Return in words what a device may not do; empty if it may do everything."""
    if allowance.refuse:
        return "inference refused"
    words = []
    if allowance.rate_per_s is not None:
        words.append(f"at most {fmt.tenth(allowance.rate_per_s)} req/s")
    if allowance.lighter_model:
        words.append("lighter model")
    if allowance.thread_share < 1.0:
        words.append(f"{allowance.thread_share:.0%} of the workers")
    if allowance.batch_share < 1.0:
        words.append(f"{allowance.batch_share:.0%} of the batch")
    if allowance.defer_background:
        words.append("background work waits")
    return ", ".join(words)


def override_text(sample: ThermalSample, wall: datetime, age_s: float) -> str:
    """Return who forced what until when; empty if nobody did. The device said so `age_s` ago."""
    held = sample.override
    if held is None:
        return ""
    left_s = held.left_s - age_s
    until = fmt.time_of_day(wall.timestamp() + left_s, wall)
    left = f"{duration_text(left_s)} left" if left_s > 0 else "that is over"
    ignored = ", ignored: the device is critical" if held.ignored else ""
    who = f"{held.state} forced by {fmt.escape(held.actor)} until {until} ({left})"
    return f"{who}{ignored}: {fmt.escape(held.reason)}"


def thermal(view: DeviceView, wall: datetime, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the policy's line or lines for a device; none for an agent without one."""
    if view.sample is None or view.sample.thermal is None:
        return []
    sample = view.sample.thermal
    lines = _folded([_state(sample, glyphs), *_figures(sample)], width)
    forced = override_text(sample, wall, view.age_s or 0.0)
    if forced:
        lines.append(crop((("   ", "text"), (forced, "failsafe")), width))
    lines += [
        crop((("   ", "text"), (fmt.escape(each), "warn")), width) for each in sample.warnings
    ]
    return lines


def transition_lines(
    each: ThermalTransition,
    wall: datetime,
    width: int,
    glyphs: Glyphs,
    conditions: Conditions,
) -> list[Line]:
    """Return one transition with the conditions that were met."""
    hotter = each.step_after > each.step_before
    role = LEVEL_ROLES[LEVELS[each.after]] if hotter else "ok"
    moved = each.before is not each.after
    what = f"{each.before} → {each.after}" if moved else f"{each.after}, step {each.step_after}"
    why = [each.cause.replace("_", " "), each.reason] if moved else []
    if each.actor:
        said = each.reason.removeprefix(f"{each.actor}: ") if moved else ""
        why = [f"forced by {each.actor}{': ' if said else ''}{said}"]
    title: Line = (
        (f" {fmt.time_of_day(each.time_unix_s, wall)} ", "muted"),
        (glyphs.shapes[LEVELS[each.after] if hotter else Level.OK], role),
        (f" heat {what} ", role if hotter else "text"),
        (f" {fmt.escape(', '.join(word for word in why if word))}", "text"),
        (f"  {SIMULATED}" if each.simulated else "", "limit"),
    )
    met = [held for held in each.conditions if held.met and not held.name.startswith("cool_")]
    return [crop(title, width), *conditions(met)]


def mark(each: ThermalTransition) -> tuple[str, Level]:
    """Return a transition's role and level on a chart: what was forced is not the heat's doing."""
    if each.actor:
        return LEVEL_ROLES[Level.FAILSAFE], Level.FAILSAFE
    hotter = each.step_after > each.step_before
    level = LEVELS[each.after] if hotter else Level.OK
    return LEVEL_ROLES[level], level


def _state(sample: ThermalSample, glyphs: Glyphs) -> Line:
    level = LEVELS[sample.state]
    role = LEVEL_ROLES[level]
    line: Line = (
        (" heat ", "muted"),
        (f"{glyphs.shapes[level]} {sample.state}", role),
        (f" for {fmt.duration(sample.held_s)}", "text"),
    )
    return (*line, (f"  {SIMULATED}", "limit")) if sample.simulated else line


def _figures(sample: ThermalSample) -> list[Line]:
    found: list[Line] = []
    if sample.limit_c is None or sample.temp_c is None:
        # While a state is forced the reason is the operator's, and says nothing of the sensor.
        told = sample.limit_source if sample.override else sample.reason or sample.limit_source
        found.append(((f"n/a: {fmt.escape(told)}" if told else "temperature n/a", "muted"),))
    if sample.limit_c is not None:
        limit = f"{sample.limit_c:.0f} °C ({fmt.escape(sample.limit_source)})"
        found.append((("limit ", "muted"), (limit, "limit")))
    if sample.margin_c is not None:
        found.append((("margin ", "muted"), (f"{sample.margin_c:.1f} °C", "text")))
        left_s = sample.limit_in_s
        seconds = _NO_TIME if left_s is None else f"{left_s:.0f} s"
        found.append((("to the limit ", "muted"), (seconds, "text" if left_s is None else "warn")))
    if sample.sensor:
        found.append((("sensor ", "muted"), (fmt.escape(sample.sensor), "text")))
    held = held_back(sample.allowance)
    if held:
        found.append(((held, "warn"),))
    if sample.throttled_total:
        found.append((("throttled ", "muted"), (fmt.count(sample.throttled_total), "text")))
    return found


def _folded(parts: Sequence[Line], width: int) -> list[Line]:
    lines: list[Line] = []
    line: Line = ()
    for part in parts:
        joined = join([line, part], "   ")
        if line and line_width(joined) > width:
            lines.append(line)
            joined = (("   ", "text"), *part)
        line = joined
    return [crop(each, width) for each in [*lines, line]]
