"""The models in the fleet's stores as a table: what there is, where it runs, what it costs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from edgeconsole.fleet.findings import Findings, Measured
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.protocol.control import StoredModel
from edgeconsole.tui import format as fmt
from edgeconsole.tui.glyphs import Dot, Glyphs
from edgeconsole.tui.job_lines import missing, quiet, speed
from edgeconsole.tui.pareto_plot import DOT_ROLES
from edgeconsole.tui.report_lines import ms_text, size_text
from edgeconsole.tui.runs import Line, Run, crop
from edgeconsole.tui.tabular import Head, table

_HEADS: Final = (
    Head("", 2, right=False, most=1),
    Head("model", 1, right=False, most=24),
    Head("version", 9, right=False, most=12),
    Head("variant", 1, right=False, most=28),
    Head("answers", 3, most=8),
    Head("stored", 7, most=7),
    Head("size", 5, most=9),
    Head("p99 ms", 4, most=8),
    Head("drop", 4, most=7),
    Head("metric", 8, right=False, most=18),
    Head("value", 8, most=8),
    Head("speed", 6, most=7),
    Head("where", 10, right=False, most=60),
)
_LEAST_WHERE: Final = 24
_BESIDE_WHERE: Final = 112
"""What the other columns take, about."""
_MOST_NAMES: Final = 4


@dataclass(slots=True)
class Row:
    """One bundle, wherever it is."""

    bundle: StoredModel
    active: list[str] = field(default_factory=list)
    """Devices on which it answers."""
    stored: list[str] = field(default_factory=list)
    """Devices that have it, those included."""
    heard: bool = False
    """Whether a device that has it answered just now."""
    measured: Measured | None = None
    """What the newest job that measured it found."""
    measured_on: str = ""
    """The device on which it did."""
    ended_unix_s: float = 0.0


def rows(said: Sequence[DeviceModels]) -> list[Row]:
    """Return the bundles of all devices: by model, what answers first, then the fastest."""
    found: dict[str, Row] = {}
    for each in said:
        for bundle in each.models:
            row = found.setdefault(bundle.digest, Row(bundle))
            row.stored.append(each.device_id)
            row.heard = row.heard or not each.note
            if bundle.active:
                row.active.append(each.device_id)
    for each in said:
        for finding in each.findings:
            for digest, measured in finding.measured.items():
                if digest in found and finding.ended_unix_s > found[digest].ended_unix_s:
                    found[digest].measured = measured
                    found[digest].measured_on = each.device_id
                    found[digest].ended_unix_s = finding.ended_unix_s
    return sorted(found.values(), key=_order)


def _order(row: Row) -> tuple[object, ...]:
    p99_ms = row.measured.p99_ms if row.measured is not None else None
    unknown = p99_ms is None
    return (
        row.bundle.model,
        -len(row.active),
        unknown,
        p99_ms or 0.0,
        row.bundle.key,
        row.bundle.digest,
    )


def newest(said: Sequence[DeviceModels], model: str) -> tuple[str, Findings] | None:
    """Return the latest finding about a model and the device it was made on."""
    found = [
        (each.device_id, finding)
        for each in said
        for finding in each.findings
        if finding.model == model
    ]
    return max(found, key=lambda pair: pair[1].ended_unix_s, default=None)


def lines(
    said: Sequence[DeviceModels],
    found: Sequence[Row],
    selected: str | None,
    wall: datetime,
    *,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return the table of the rows that were `found`, then who could not be asked."""
    shown = bundles(found, len(said), selected, width=width, glyphs=glyphs)
    if not found and any(not each.note for each in said):
        shown += [(), ((" no model is in a store", "muted"),)]
    return [crop(line, width) for line in [*shown, *missing(said, "models", wall)]]


def bundles(
    found: Sequence[Row], devices: int, selected: str | None, *, width: int, glyphs: Glyphs
) -> list[Line]:
    """Return the table of some rows of so many devices: the headings, then a line each."""
    if not found:
        return []
    room = max(_LEAST_WHERE, width - _BESIDE_WHERE)
    heads = (*_HEADS[:-1], replace(_HEADS[-1], most=room))
    header, *body = table(heads, [_cells(row, devices, glyphs) for row in found], width - 2)
    shown: list[Line] = [(("  ", "text"), *header)]
    for row, line in zip(found, body, strict=True):
        here = row.bundle.digest == selected
        pointer = (f"{glyphs.pointer if here else ' '} ", "accent")
        shown.append((pointer, *(line if row.heard else quiet(line))))
    return [crop(line, width) for line in shown]


def _cells(row: Row, devices: int, glyphs: Glyphs) -> list[Run]:
    bundle, measured = row.bundle, row.measured
    role = "strong" if row.active else "text"
    recommended = measured is not None and measured.recommended
    return [
        (glyphs.dots[Dot.RECOMMENDED] if recommended else "", DOT_ROLES[Dot.RECOMMENDED]),
        (fmt.escape(bundle.model), role),
        (fmt.escape(bundle.version), "muted"),
        (fmt.escape(bundle.variant), role),
        (f"{len(row.active)} of {devices}" if row.active else "", "ok"),
        (str(len(row.stored)), "muted"),
        (size_text(bundle.size_bytes), "text"),
        (ms_text(None if measured is None else measured.p99_ms), "text"),
        (
            fmt.UNKNOWN if measured is None or measured.drop is None else f"{measured.drop:.2f}",
            "text",
        ),
        (fmt.escape(measured.metric) if measured is not None else fmt.UNKNOWN, "muted"),
        (_value(measured), "text"),
        (speed(None if measured is None else measured.speedup), "text"),
        (_where(row), "muted"),
    ]


def _value(measured: Measured | None) -> str:
    if measured is None or measured.metric_value is None:
        return fmt.UNKNOWN
    return f"{measured.metric_value:.4f}"


def _where(row: Row) -> str:
    names = row.active or row.stored
    shown = ", ".join(fmt.escape(name) for name in names[:_MOST_NAMES])
    more = f", … {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    by = f"; measured on {fmt.escape(row.measured_on)}" if row.measured_on else ""
    return f"{'' if row.active else 'only stored: '}{shown}{more}{by}"


def devices_of(said: Sequence[DeviceModels], model: str, width: int) -> list[Line]:
    """Return what each device has of a model: what answers, what else is there."""
    shown: list[Line] = []
    for each in said:
        have = [bundle for bundle in each.models if bundle.model == model]
        if not have:
            continue
        answers = [f"{bundle.version}/{bundle.variant}" for bundle in have if bundle.active]
        rest = [f"{bundle.version}/{bundle.variant}" for bundle in have if not bundle.active]
        role = "stale" if each.note else "text"
        what = f"answers {answers[0]}" if answers else "nothing answers"
        also = f"   also stored: {', '.join(rest)}" if rest else ""
        line: Line = (
            (f" {fmt.fit(fmt.escape(each.device_id), 18)} ", "stale" if each.note else "strong"),
            (fmt.escape(what), role if answers or each.note else "warn"),
            (fmt.escape(also), "stale" if each.note else "muted"),
            (f"   not asked just now: {fmt.escape(each.note)}" if each.note else "", "stale"),
        )
        shown.append(crop(line, width))
    return shown or [((f" no device has {fmt.escape(model)} any more", "warn"),)]
