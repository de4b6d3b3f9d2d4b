"""The Device screen's text: head, models and events. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.store import DeviceView, LinkState
from edgeconsole.protocol.telemetry import DeviceEvent, ModelSample, ModelState
from edgeconsole.tui import columns
from edgeconsole.tui import format as fmt
from edgeconsole.tui.frame import Frame
from edgeconsole.tui.glyphs import LEVEL_ROLES, SEVERITY_LEVELS, Glyphs
from edgeconsole.tui.runs import Line, Run, crop, join, line_width, spread
from edgeconsole.tui.tabular import Head, table

MOST_EVENTS: Final = 100
"""The screen lists no more than this; the history keeps the rest."""


def quiet(lines: Sequence[Line], role: str | None) -> list[Line]:
    """Give whole lines one role, so that old figures do not look like new ones."""
    if role is None:
        return list(lines)
    return [
        tuple((text, "faint" if was == "faint" else role) for text, was in line) for line in lines
    ]


def link_text(view: DeviceView) -> Run:
    """Return what the connection is doing, with the time to the next try."""
    if view.link is LinkState.LIVE:
        return "link live", "muted"
    parts = [f"link {view.link.value}"]
    if view.link_reason and view.link_reason != view.level_reason:
        parts.append(fmt.escape(view.link_reason))
    text = ": ".join(parts)
    if view.retry_in_s is not None:
        text += f", retry in {fmt.duration(view.retry_in_s)}"
    return text, "crit" if view.link is LinkState.REFUSED else "stale"


def head(view: DeviceView, width: int, glyphs: Glyphs) -> list[Line]:
    """Return who the device is, how bad it is and why, and how the link to it stands."""
    role = LEVEL_ROLES[view.level]
    reason = fmt.escape(view.level_reason)
    name: Line = (
        (" " + fmt.cut(fmt.escape(view.id), max(16, width // 3)), "strong"),
        (f"   {glyphs.shapes[view.level]} {role}", role),
        (f"  {reason}" if reason else "", "text"),
    )
    facts: list[Line] = []
    if view.freshness in (Freshness.STALE, Freshness.GONE) and view.sample is not None:
        heard = f"figures are {fmt.age(view.age_s or 0.0)} old"
        facts.append(((heard, "stale"),))
    facts.append((link_text(view),))
    right = join(facts)
    if line_width(name) + line_width(right) + 3 > width:
        return [crop(name, width), crop(((" ", "text"), *right), width), *_about(view, width)]
    return [spread(name, (*right, (" ", "text")), width), *_about(view, width)]


def _about(view: DeviceView, width: int) -> list[Line]:
    parts: list[Line] = []
    if view.active is not None:
        parts.append((("active ", "muted"), (columns.active_text(view), "text")))
        deadline = f"{fmt.limit(view.active.deadline_ms)} ms"
        parts.append((("deadline ", "muted"), (deadline, "text")))
    if view.sample is not None:
        parts.append((("up ", "muted"), (fmt.duration(view.sample.uptime_s), "text")))
    if view.hello is not None:
        hello = view.hello
        parts.append((("agent ", "muted"), (fmt.escape(hello.agent_version), "text")))
        what = [hello.device.device_class, hello.platform, hello.tier.value.replace("_", " ")]
        text = " · ".join(fmt.escape(part) for part in what if part)
        parts.append(((text, "muted"),))
    if not parts:
        parts.append(((f"nothing heard yet from {fmt.escape(view.url)}", "muted"),))
    lines: list[Line] = []
    line: Line = ()
    for part in parts:
        joined = join([line, part], "   ")
        if line and line_width(joined) + 2 > width:
            lines.append(line)
            joined = part
        line = joined
    return [crop(((" ", "text"), *each), width) for each in [*lines, line]]


_MODEL_HEADS: Final = (
    Head("", 1, right=False, most=2),
    Head("model", 1, right=False, most=24),
    Head("version", 11, right=False, most=12),
    Head("variant", 2, right=False, most=14),
    Head("state", 3, right=False, most=10),
    Head("p50", 9),
    Head("p95", 10),
    Head("p99", 3),
    Head("req/s", 8),
    Head("answered", 4),
    Head("refused", 5),
    Head("failed", 4),
    Head("late", 5),
    Head("queue", 7),
    Head("restarts", 6),
    Head("pids", 12, right=False, most=18),
    Head("memory", 9),
)


def _counter(number: int, role: str) -> Run:
    """Return a counter, in a role of its own once it is not zero."""
    return fmt.count(number), role if number else "muted"


def _model(model: ModelSample) -> list[Run]:
    ready = model.state is ModelState.READY
    failed = model.state is ModelState.FAILED
    budget = None if model.p99_ms is None else model.p99_ms / model.deadline_ms
    return [
        ("▸" if model.active else " ", "accent"),
        (fmt.escape(model.model), "strong" if model.active else "text"),
        (fmt.escape(model.version), "muted"),
        (fmt.escape(model.variant), "text"),
        (model.state.value, "text" if ready else "crit" if failed else "warn"),
        (fmt.figure(model.p50_ms), "text"),
        (fmt.figure(model.p95_ms), "text"),
        (fmt.figure(model.p99_ms), columns.budget_role(budget)),
        (fmt.tenth(model.rate_per_s), "text"),
        _counter(model.answered_total, "text"),
        _counter(model.refused_total, "text"),
        _counter(model.failed_total, "warn"),
        _counter(model.late_total, "text"),
        _counter(model.queue_depth, "text"),
        _counter(model.restarts, "warn"),
        (",".join(map(str, model.worker_pids)) or fmt.UNKNOWN, "muted"),
        (fmt.megabytes(model.rss_bytes), "text"),
    ]


def section(title: str, width: int, glyphs: Glyphs) -> Line:
    """Return a quiet heading with a rule to the right edge."""
    rule = glyphs.rule * max(0, width - len(title) - 4)
    return (f" {title} ", "muted"), (rule, "faint")


def models(view: DeviceView, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the table of loaded models, each with the reason it is not ready, if it is not."""
    lines = [section("models", width, glyphs)]
    if view.sample is None or not view.sample.models:
        what = "no sample yet" if view.sample is None else "no models loaded"
        return [*lines, ((f"  {what}", "muted"),)]
    loaded = view.sample.models
    header, *rows = table(_MODEL_HEADS, [_model(model) for model in loaded], width - 2)
    lines.append(((" ", "text"), *header))
    for model, row in zip(loaded, rows, strict=True):
        lines.append(((" ", "text"), *row))
        if model.reason:
            lines.append(crop((("     ", "text"), (fmt.escape(model.reason), "warn")), width))
    return lines


def event_line(
    event: DeviceEvent, frame: Frame, width: int, glyphs: Glyphs, *, kind: bool = True
) -> Line:
    """Return one event: time, severity as a shape, kind if there is room, message."""
    level = SEVERITY_LEVELS[event.severity]
    role = LEVEL_ROLES[level]
    line: Line = (
        (f" {frame.time_of(event.time_unix_s)} ", "muted"),
        (glyphs.shapes[level], role),
        (f" {fmt.fit(fmt.escape(event.kind), 16)} " if kind else " ", "muted"),
        (fmt.escape(event.message), "text"),
    )
    return crop(line, width)


def events(
    newest_first: Sequence[DeviceEvent], frame: Frame, width: int, glyphs: Glyphs
) -> list[Line]:
    """Return the list of events, newest first."""
    lines = [section("events", width, glyphs)]
    if not newest_first:
        return [*lines, (("  none heard so far", "muted"),)]
    shown = newest_first[:MOST_EVENTS]
    return [*lines, *(event_line(event, frame, width, glyphs) for event in shown)]
