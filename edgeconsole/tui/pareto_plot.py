"""What a job's variants lose against how fast they are, as a plot. Pure; no Textual.

The shape of a point says what it is, so that it can be read without colours. What lies far from
the rest is drawn at the edge and named below: it must not press the others into one corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edgeconsole.protocol.optimization import OptimizationReport, Variant, VariantStatus
from edgeconsole.tui import format as fmt
from edgeconsole.tui.chart_geometry import Window, framed, inner_size, plot, row_of
from edgeconsole.tui.glyphs import Dot, Glyphs
from edgeconsole.tui.runs import Line, Run, cells_of, crop, merged
from edgeconsole.tui.scales import Limit, Scale, Series, nice_scale, tick_label

DOT_ROLES: Final = {
    Dot.ORIGINAL: "muted",
    Dot.FAILS: "warn",
    Dot.FITS: "text",
    Dot.FRONT: "ok",
    Dot.RECOMMENDED: "accent",
}
LEAST_SIZE: Final = (40, 9)
_REACH: Final = 2.0
"""What fails or is the original is on the plot up to this multiple of what fits."""
_MOST_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    ms: float
    drop: float
    dot: Dot


def dot_of(variant: Variant, report: OptimizationReport) -> Dot | None:
    """Return what a variant is; `None` for one that was never measured."""
    if variant is report.baseline:
        return Dot.ORIGINAL
    if variant.status not in (VariantStatus.OK, VariantStatus.EXCLUDED):
        return None
    if variant.name == report.recommended:
        return Dot.RECOMMENDED
    if variant.status is VariantStatus.EXCLUDED:
        return Dot.FAILS
    return Dot.FRONT if variant.pareto else Dot.FITS


def lines(report: OptimizationReport, size: tuple[int, int], glyphs: Glyphs) -> list[Line]:
    """Draw the plot into at most `size` (width, height) cells; nothing where there is no room.

    It takes p99; where no variant has one, since too few runs were timed, p50, and says so.
    """
    width, height = size
    known = [
        (each, dot)
        for each in (report.baseline, *report.variants)
        if (dot := dot_of(each, report)) is not None
    ]
    figure = "p99" if any(each.p99_ms is not None for each in report.variants) else "p50"
    points = [
        _Point(each.name, ms, drop, dot)
        for each, dot in known
        if (ms := each.p99_ms if figure == "p99" else each.p50_ms) is not None
        # What drops are measured against loses nothing, and so does not say it.
        and (drop := 0.0 if dot is Dot.ORIGINAL else each.drop) is not None
    ]
    if width < LEAST_SIZE[0] or height < LEAST_SIZE[1] or len(points) < 2:
        return []
    most_drop = report.constraints.max_drop
    across, up = _scales(points, most_drop, report.constraints.max_p99_ms, size)
    beyond = [each for each in points if each.ms > across.high or each.drop > up.high]
    body_size = inner_size((width, height - 3), up)
    window = Window(across.high, across.high - across.low)
    gate = Limit(most_drop, "limit", hard=False)
    front = Series("low", _stairs(points, across, body_size[0]))
    body = plot((front,), (gate,), up, window, body_size, glyphs=glyphs)
    body = _dotted(body, points, (across, up), glyphs)
    title: Line = (
        (f"{figure} ms across, drop upwards: low and left is best", "text"),
        (f"   {glyphs.dotted * 3} most it may lose {fmt.limit(most_drop)}", "limit"),
    )
    below = value_axis(body_size[0], across)
    shown = [
        title,
        *framed(body, (width, height - 3), up, below, glyphs=glyphs),
        _legend([each.dot for each in points], glyphs),
        _notes(beyond, len(known) - len(points), figure),
    ]
    return [crop(line, width) for line in shown if line]


def _scales(
    points: Sequence[_Point], most_drop: float, most_ms: float | None, size: tuple[int, int]
) -> tuple[Scale, Scale]:
    """Return the axes: what fits and the gate are on them, and what is not much further."""
    fit = [each for each in points if each.dot not in (Dot.ORIGINAL, Dot.FAILS)] or points
    far_ms = max(each.ms for each in fit) * _REACH
    if most_ms is not None:
        far_ms = max(far_ms, most_ms)
    high_ms = max(each.ms for each in points if each.ms <= far_ms)
    far_drop = max(*(each.drop for each in fit), most_drop, 0.1) * _REACH
    drops = [each.drop for each in points if each.drop <= far_drop]
    low = min(0.0, *(each.drop for each in points))
    across = nice_scale(0.0, max(high_ms * 1.05, 1e-6), max(2, size[0] // 14))
    up = nice_scale(low, max(*drops, most_drop, 0.1) * 1.05, max(1, (size[1] - 5) // 2))
    return across, up


def _stairs(
    points: Iterable[_Point], across: Scale, columns: int
) -> tuple[tuple[float, float | None], ...]:
    """Return the edge of what fits: the least that is lost at each speed, from left to right."""
    fit = [each for each in points if each.dot not in (Dot.ORIGINAL, Dot.FAILS)]
    edge: list[_Point] = []
    for each in sorted(fit, key=lambda point: (point.ms, point.drop)):
        if not edge or each.drop < edge[-1].drop:
            edge.append(each)
    if len(edge) < 2:
        return ()
    step = (across.high - across.low) / (columns * 4)
    stairs: list[tuple[float, float | None]] = []
    for here, there in pairwise(edge):
        count = max(1, math.ceil((there.ms - here.ms) / step))
        stairs += [(here.ms + (there.ms - here.ms) * at / count, here.drop) for at in range(count)]
    return (*stairs, (edge[-1].ms, edge[-1].drop))


def _dotted(
    body: Sequence[Line], points: Iterable[_Point], scales: tuple[Scale, Scale], glyphs: Glyphs
) -> list[Line]:
    """Lay the points over the plot, each with its name where there is room for it."""
    across, up = scales
    columns = max(sum(len(text) for text, _ in line) for line in body)
    cells = [cells_of(line, columns) for line in body]
    taken: set[tuple[int, int]] = set()
    placed: list[tuple[_Point, int, int]] = []
    order = list(Dot)
    for each in sorted(points, key=lambda point: order.index(point.dot)):
        share = (min(each.ms, across.high) - across.low) / (across.high - across.low)
        x = min(columns - 1, max(0, round(share * (columns - 1))))
        y = row_of(min(each.drop, up.high), up, len(body))
        cells[y][x] = (glyphs.dots[each.dot], DOT_ROLES[each.dot])
        taken.add((x, y))
        placed.append((each, x, y))
    for each, x, y in reversed(placed):
        name = fmt.escape(each.name)
        if not name.isascii():
            continue  # It may be wider than it has letters; the table has it.
        off = ("↑" if each.drop > up.high else "") + ("→" if each.ms > across.high else "")
        name = f" {name}{off} "
        for start in (x + 1, x - len(name)):
            places = {(at, y) for at in range(start, start + len(name))}
            if start >= 0 and start + len(name) <= columns and not places & taken:
                taken |= places
                for at, char in enumerate(name, start):
                    cells[y][at] = (char, DOT_ROLES[each.dot])
                break
    return [merged(line) for line in cells]


def value_axis(width: int, scale: Scale) -> str:
    """Return the labels under a plot, each below its tick."""
    cells = [" "] * max(0, width)
    free = 0
    for tick in scale.ticks():
        label = tick_label(tick, scale.step)
        share = (tick - scale.low) / (scale.high - scale.low)
        start = min(width - len(label), max(0, round(share * (width - 1)) - len(label) // 2))
        if start >= free:
            cells[start : start + len(label)] = label
            free = start + len(label) + 2
    return "".join(cells)


def _legend(present: Sequence[Dot], glyphs: Glyphs) -> Line:
    runs: list[Run] = [(" ", "text")]
    for dot in reversed(Dot):
        if dot in present:
            runs += [(glyphs.dots[dot], DOT_ROLES[dot]), (f" {dot.value}   ", "muted")]
    return tuple(runs)


def _notes(beyond: Sequence[_Point], unknown: int, figure: str) -> Line:
    parts = [f"{unknown} not drawn, without {figure} or drop"] if unknown else []
    if beyond:
        named = ", ".join(
            f"{fmt.cut(fmt.escape(each.name), 24)} {fmt.figure(each.ms)} ms, "
            f"drop {fmt.figure(each.drop)}"
            for each in beyond[:_MOST_NAMED]
        )
        more = f", … {len(beyond) - _MOST_NAMED} more" if len(beyond) > _MOST_NAMED else ""
        parts.append(f"beyond the edge: {named}{more}")
    return ((f" {'; '.join(parts)}", "muted"),) if parts else ()
