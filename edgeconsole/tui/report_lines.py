"""A job and what it found as text. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from edgeconsole.protocol.jobs import Job
from edgeconsole.protocol.optimization import OptimizationReport, Variant, VariantStatus
from edgeconsole.tui import format as fmt
from edgeconsole.tui import job_lines, pareto_plot
from edgeconsole.tui.glyphs import Dot, Glyphs
from edgeconsole.tui.pareto_plot import DOT_ROLES, dot_of
from edgeconsole.tui.runs import Line, Run, crop
from edgeconsole.tui.tabular import Head, table

_HEADS: Final = (
    Head("", 1, right=False, most=1),
    Head("variant", 1, right=False, most=34),
    Head("speed", 2, most=7),
    Head("p50 ms", 7, most=8),
    Head("p99 ms", 4, most=8),
    Head("size", 5, most=9),
    Head("memory", 8, most=9),
    Head("value", 9, most=8),
    Head("drop", 3, most=7),
    Head("status", 6, right=False, most=60),
)
_PLOT: Final = (100, 16)
"""The most columns and lines of the plot."""
_STATUS_ROLES: Final = {
    VariantStatus.OK: "ok",
    VariantStatus.EXCLUDED: "warn",
    VariantStatus.FAILED: "crit",
    VariantStatus.SKIPPED: "muted",
}


def lines(
    job: Job, report: OptimizationReport | None, wall: datetime, width: int, glyphs: Glyphs
) -> list[Line]:
    """Return the job, and once it is done all that was tried, the fastest first, and why."""
    shown = _head(job, wall)
    if report is not None:
        shown += found(report, width, glyphs)
    return [crop(line, width) for line in shown]


def found(report: OptimizationReport, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the table of what was tried, the plot of what it loses, and why."""
    picture = pareto_plot.lines(report, (min(width - 2, _PLOT[0]), _PLOT[1]), glyphs)
    if picture:
        picture = [*(((" ", "text"), *line) for line in picture), ()]
    shown = [*_variants(report, width, glyphs), (), *picture, *_why(report, width)]
    return [crop(line, width) for line in shown]


def _head(job: Job, wall: datetime) -> list[Line]:
    role = job_lines.STATE_ROLES[job.state]
    limits = job.constraints
    kept = [f"drop ≤ {fmt.limit(limits.max_drop)}"]
    if limits.max_p99_ms is not None:
        kept.append(f"p99 ≤ {fmt.limit(limits.max_p99_ms)} ms")
    if limits.max_memory_bytes is not None:
        kept.append(f"memory ≤ {fmt.megabytes(limits.max_memory_bytes)}")
    if limits.max_size_bytes is not None:
        kept.append(f"size ≤ {fmt.megabytes(limits.max_size_bytes)}")
    ordered = fmt.time_of_day(job.queued_unix_s, wall)
    shown: list[Line] = [
        (
            (f" {fmt.escape(job.job_id)} ", "strong"),
            (job.state.value, role),
            (f"  {fmt.escape(job.bundle.key)}  {job.level.value}", "text"),
            (f"  {job_lines.time_text(job)}", "muted"),
        ),
        (
            (f" smallest {job.objective.value} with {', '.join(kept)}", "text"),
            (f"   for {fmt.escape(job.actor)} at {ordered} by its clock", "muted"),
        ),
    ]
    if job.recommended is not None:
        shown.append(((f" → {fmt.escape(job.recommended.key)}", "accent"),))
    else:
        shown.append(((f" {fmt.escape(job_lines.what(job))}", "text"),))
    return [*shown, ()]


def _variants(report: OptimizationReport, width: int, glyphs: Glyphs) -> list[Line]:
    ordered = sorted(
        report.variants, key=lambda each: (each.speedup is None, -(each.speedup or 0.0))
    )
    rows = [_row(each, report, glyphs) for each in (report.baseline, *ordered)]
    return [((" ", "text"), *line) for line in table(_HEADS, rows, width - 2)]


def _row(each: Variant, report: OptimizationReport, glyphs: Glyphs) -> list[Run]:
    dot = dot_of(each, report)
    role = "text" if each.status is VariantStatus.OK else "muted"
    if dot is Dot.RECOMMENDED:
        role = "strong"
    status = each.status.value + (f": {each.reason}" if each.reason else "")
    return [
        ("" if dot is None else glyphs.dots[dot], "muted" if dot is None else DOT_ROLES[dot]),
        (fmt.escape(each.name), role),
        (job_lines.speed(each.speedup), role),
        (ms_text(each.p50_ms), role),
        (ms_text(each.p99_ms), role),
        (size_text(each.size_bytes), role),
        (fmt.megabytes(each.peak_rss_bytes), role),
        (fmt.UNKNOWN if each.metric_value is None else f"{each.metric_value:.4f}", role),
        (fmt.UNKNOWN if each.drop is None else f"{each.drop:.2f}", role),
        (fmt.escape(status), _STATUS_ROLES[each.status]),
    ]


def ms_text(value: float | None) -> str:
    """Return a latency; those of small models differ by less than a hundredth."""
    if value is None:
        return fmt.UNKNOWN
    return f"{value:.3f}" if value < 1 else fmt.figure(value)


def size_text(size: int | None) -> str:
    """Return a size; variants of a small model differ by less than a tenth of a MiB."""
    return f"{size / 1024:.0f} KiB" if size is not None and size < 1 << 20 else fmt.megabytes(size)


def _why(report: OptimizationReport, width: int) -> list[Line]:
    device = report.device
    cached = "  from the cache" if report.cache == "hit" else ""
    shown: list[Line] = [((f" judged by {fmt.escape(report.evaluation)}{cached}", "muted"),)]
    shown.append(
        ((f" measured on {fmt.escape(device.cpu)}, {device.cores} cores", "muted"),),
    )
    for sentence in report.why:
        shown += _wrapped(fmt.escape(sentence), width - 2)
    return shown


def _wrapped(text: str, width: int) -> Sequence[Line]:
    """Break a sentence between words; a word that is too long is cut by whoever crops."""
    rows: list[str] = []
    row = ""
    for word in text.split():
        longer = f"{row} {word}" if row else word
        if row and fmt.width_of(longer) > width:
            rows.append(row)
            row = word
        else:
            row = longer
    return [((f" {each}", "text"),) for each in [*rows, row] if each]
