"""Before and after the latest switch to another bundle, as text. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from edgeconsole.fleet.switches import SHOWN_S, Figures, Switch
from edgeconsole.tui import format as fmt
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, Run, crop

_UNKNOWN: Final = "n/a"
_BETTER: Final = 0.95
"""What is below this share of the value before is better, what is above its inverse worse."""


def lines(
    switch: Switch | None,
    now_figures: Figures,
    now: float,
    wall: datetime,
    *,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return what answers since when in place of what, and the figures; nothing once it is old."""
    if switch is None or now - switch.at > SHOWN_S:
        return []
    ago_s = max(0.0, now - switch.at)
    then = fmt.time_of_day(wall.timestamp() - ago_s, wall)
    before = switch.before_key.partition("/")[2] or _UNKNOWN
    head: Line = (
        (f" {glyphs.switch} ", "accent"),
        (fmt.escape(switch.model), "strong"),
        (f" {fmt.escape(before)} → ", "text"),
        (fmt.escape(switch.after_key.partition("/")[2]), "strong"),
        (f"   {then}, {fmt.duration(ago_s)} ago", "muted"),
    )
    was = switch.before
    body: Line = (
        *_pair("p50", was.p50_ms, now_figures.p50_ms, fmt.figure, " ms"),
        *_pair("p99", was.p99_ms, now_figures.p99_ms, fmt.figure, " ms"),
        *_pair("", was.temp_c, now_figures.temp_c, fmt.whole, " °C"),
        *_pair("", was.rss_bytes, now_figures.rss_bytes, _size, ""),
        (
            f"   before → now, medians of {was.seconds:.0f} s and {now_figures.seconds:.0f} s",
            "faint",
        ),
    )
    return [crop(head, width), crop(body, width)]


def _pair(
    name: str, was: float | None, now: float | None, text: Callable[[float], str], unit: str
) -> list[Run]:
    label = f"   {name} " if name else "   "
    role = "text"
    if was is not None and now is not None and was > 0:
        role = "ok" if now < was * _BETTER else "warn" if now > was / _BETTER else "text"
    known = was is not None or now is not None
    return [
        (label, "muted"),
        (f"{_UNKNOWN if was is None else text(was)} → ", "text"),
        (f"{_UNKNOWN if now is None else text(now)}{unit if known else ''}", role),
    ]


def _size(size: float) -> str:
    return fmt.megabytes(round(size))
