"""The health bar's text: the fleet in one line, shortened to the width there is. No Textual."""

from __future__ import annotations

from edgeconsole.fleet.levels import Level
from edgeconsole.tui import format as fmt
from edgeconsole.tui.frame import Frame, PowerSum
from edgeconsole.tui.glyphs import LEVEL_ROLES, Glyphs
from edgeconsole.tui.runs import Line, join, line_width, spread

_ORDER = (
    Level.OK,
    Level.WARNING,
    Level.CRITICAL,
    Level.FAILSAFE,
    Level.STALE,
    Level.GONE,
    Level.UNKNOWN,
)


def counts(frame: Frame, glyphs: Glyphs, *, words: bool) -> Line:
    """Return how many devices are in each level that occurs."""
    return join(
        [_count(frame, level, glyphs, words=words) for level in _ORDER if frame.counts[level]]
    )


def _count(frame: Frame, level: Level, glyphs: Glyphs, *, words: bool) -> Line:
    role = LEVEL_ROLES[level]
    text = f" {frame.counts[level]}"
    shape = (glyphs.shapes[level], role)
    figure = (text, "text" if level is Level.OK else role)
    return (shape, figure, (f" {role}", "muted")) if words else (shape, figure)


def power_text(power: PowerSum) -> str:
    """Return the fleet's draw: `≥` when some devices do not say, `n/a` when none does."""
    if not power.known:
        return "n/a W"
    total_w = power.total_w
    text = f"{total_w / 1000:.1f} kW" if total_w >= 1000 else f"{total_w:.0f} W"
    marks = ("≥" if power.unknown else "") + ("~" if power.estimated else "")
    return f"{marks}{text}{' sim' if power.simulated else ''}"


def worst_text(frame: Frame) -> Line:
    """Return the p99 nearest to its deadline, against that deadline."""
    view = frame.worst
    if view is None or view.active is None or view.budget is None:
        return (("p99 ", "muted"), ("n/a", "muted"))
    role = "crit" if view.budget > 1 else "warn" if view.level is Level.WARNING else "text"
    limit = f"/{fmt.limit(view.active.deadline_ms)} ms"
    return (("p99 ", "muted"), (fmt.figure(view.active.p99_ms), role), (limit, "muted"))


def health_line(frame: Frame, width: int, glyphs: Glyphs, paused_s: float | None) -> Line:
    """Return line 1 of every screen; parts give way from the least important on."""
    name = fmt.escape(frame.fleet)
    total = len(frame.views)
    title: Line = (("EdgeConsole ", "head"), (name, "strong"))
    size: Line = ((f"{total:,} device{'' if total == 1 else 's'}", "muted"),)
    badge: Line = ((f" PAUSED {fmt.clock(paused_s)} ", "badge"),) if paused_s is not None else ()
    time: Line = ((frame.wall.strftime("%H:%M:%S"), "text"),)
    power: Line = ((power_text(frame.power), "text"),)
    worst = worst_text(frame)
    long, short = counts(frame, glyphs, words=True), counts(frame, glyphs, words=False)
    choices = [
        ((title, size, long), (badge, worst, power, time)),
        ((title, size, short), (badge, worst, power, time)),
        ((title, short), (badge, worst, power, time)),
        ((((name, "strong"),), short), (badge, worst, power, time)),
        ((((name, "strong"),), short), (badge, worst, time)),
        ((short,), (badge, time)),
    ]
    for left, right in choices:
        ahead, behind = join(left, "   "), join(right, "   ")
        if line_width(ahead) + line_width(behind) + 5 <= width:
            break
    return ((" ", "text"), *spread(ahead, behind, max(0, width - 2)), (" ", "text"))
