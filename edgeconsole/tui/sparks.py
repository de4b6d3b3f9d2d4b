"""A minute of latency in one line of fixed scale. Pure; no Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeconsole.tui.chart_geometry import Window
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line


def buckets(
    points: Sequence[tuple[float, float | None]], window: Window, columns: int
) -> list[float | None]:
    """Return the greatest value of each of `columns` equal parts of a window; `None` is a hole."""
    step = window.seconds / columns
    origin = math.floor(window.until / step) - columns + 1
    found: list[float | None] = [None] * columns
    for at, value in points:
        x = math.floor(at / step) - origin
        if value is not None and 0 <= x < columns:
            held = found[x]
            found[x] = value if held is None else max(held, value)
    return found


def spark(shares: Sequence[float | None], glyphs: Glyphs, warn: float = 0.8) -> Line:
    """Draw shares of a limit as columns of fixed scale: the limit is at three quarters."""
    steps = len(glyphs.ramp) - 1
    runs: list[tuple[str, str]] = []
    for share in shares:
        if share is None:
            run = (glyphs.dotted, "faint")
        else:
            height = 1 + min(steps - 1, max(0, round(share * 0.75 * steps) - 1))
            role = "crit" if share > 1 else "warn" if share >= warn else "low"
            run = (glyphs.ramp[height], role)
        if runs and runs[-1][1] == run[1]:
            runs[-1] = (runs[-1][0] + run[0], run[1])
        else:
            runs.append(run)
    return tuple(runs)
