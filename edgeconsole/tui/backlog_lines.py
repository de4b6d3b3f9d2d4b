"""What a device keeps of its telemetry until consoles have it, as text. Pure; no Textual."""

from __future__ import annotations

from typing import Final

from edgeconsole.fleet.store import DeviceView
from edgeconsole.protocol.telemetry import BacklogSample
from edgeconsole.tui import format as fmt
from edgeconsole.tui.runs import Line, crop, join

NEARLY_FULL: Final = 0.8
"""From here its size is a warning, as it is an alert by default; at 0.9 it begins to thin."""


def backlog(view: DeviceView, width: int) -> list[Line]:
    """Return the backlog's line, and why it is not written, if so; none for an agent without one."""
    if view.sample is None or view.sample.backlog is None:
        return []
    kept = view.sample.backlog
    parts = _figures(kept, view.sample.time_unix_s) if kept.was_read else [(("n/a", "muted"),)]
    lines = [crop(((" backlog ", "muted"), *join(parts, "   ")), width)]
    if kept.problem:
        said = f"not written: {fmt.escape(kept.problem)}"
        lines.append(crop((("   ", "text"), (said, "warn")), width))
    return lines


def _figures(kept: BacklogSample, now_unix_s: float) -> list[Line]:
    """Return what is known of it; what was lost comes before what is usual."""
    full = kept.used_bytes >= NEARLY_FULL * kept.budget_bytes
    size = f"{fmt.megabytes(kept.used_bytes)} of {fmt.megabytes(kept.budget_bytes)}"
    parts: list[Line] = [((size, "warn" if full else "text"),)]
    for number, what in (
        (kept.dropped_total, "samples lost"),
        (kept.gaps, "gap" if kept.gaps == 1 else "gaps"),
        (kept.thinned_blocks, "min thinned"),
    ):
        if number:
            parts.append(((f"{fmt.count(number)} {what}", "warn"),))
    waiting = fmt.count(kept.samples)
    parts.append(((waiting, "text"), (" samples wait", "muted")))
    if kept.oldest_unix_s is not None:
        oldest = fmt.age(max(0.0, now_unix_s - kept.oldest_unix_s))
        parts.append((("oldest ", "muted"), (oldest, "text")))
    asked = "never"
    if kept.asked_unix_s is not None:
        asked = f"{fmt.age(max(0.0, now_unix_s - kept.asked_unix_s))} ago"
    parts.append((("fetched ", "muted"), (asked, "text")))
    return parts
