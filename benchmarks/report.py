"""A run's results, as JSON and as Markdown tables."""

from __future__ import annotations

from typing import Final

import msgspec

from benchmarks.machine import Load, Machine
from benchmarks.measure import Metric

_METHOD: Final = (
    "Values are medians over interleaved rounds (rates) or quantiles of all raw latencies (p50, p99); "
    "brackets hold the quartiles of the rounds. Every other round goes through the systems backwards. All servers are asked by the same client code: one "
    "asyncio process with prepared requests; its own cost is in all rows alike. Systems that are not "
    "being measured are stopped (SIGSTOP) meanwhile."
)


class Row(msgspec.Struct, frozen=True):
    """What one system did in one setting."""

    system: str
    setting: dict[str, str] = {}
    """The model, the clients and the like, by column."""
    metrics: dict[str, Metric] = {}
    note: str = ""
    """Why there are no figures, or what must be known about them."""


class Table(msgspec.Struct, frozen=True):
    """One load's rows."""

    name: str
    title: str
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    def find(self, system: str, **setting: str) -> Row | None:
        """Return the row of a system in a setting, if it has figures."""
        for row in self.rows:
            fits = all(row.setting.get(key) == value for key, value in setting.items())
            if row.system == system and fits and row.metrics:
                return row
        return None


class TargetResult(msgspec.Struct, frozen=True):
    """How a target stands."""

    name: str
    limit: str
    measured: str
    met: bool | None
    """`None`: not measured in this run."""


class RunReport(msgspec.Struct, frozen=True):
    """All of one run."""

    machine: Machine
    before: Load
    after: Load
    settings: dict[str, str]
    peers: dict[str, str]
    """Versions of the peers; empty for those not installed."""
    tables: tuple[Table, ...]
    targets: tuple[TargetResult, ...]
    schema_version: int = 1


def to_json(report: RunReport) -> bytes:
    """Encode a run for machines."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def to_markdown(report: RunReport) -> str:
    """Render a run for people."""
    parts = [_head(report)]
    parts += [render_table(table) for table in report.tables]
    parts.append(_render_targets(report.targets))
    return "\n\n".join(parts) + "\n"


def render_table(table: Table) -> str:
    """Render one load; figures that repeat between rounds carry their quartiles."""
    settings = list(dict.fromkeys(key for row in table.rows for key in row.setting))
    metrics = {key: metric.unit for row in table.rows for key, metric in row.metrics.items()}
    header = ["system", *settings]
    header += [f"{key} ({unit})" if unit else key for key, unit in metrics.items()]
    lines: list[list[str]] = []
    for row in table.rows:
        cells = [row.system, *(row.setting.get(key, "") for key in settings)]
        cells += [cell(row.metrics.get(key)) for key in metrics]
        lines.append([*cells, row.note])
    if any(row.note for row in table.rows):
        header.append("note")
    text = f"## {table.title}\n\n" + grid(header, lines)
    for remark in table.remarks:
        text += f"\n\n{remark}"
    return text


def number(value: float) -> str:
    """Write a number with three significant digits, without an exponent."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def cell(metric: Metric | None) -> str:
    """Write a figure, with its quartiles if it differs between rounds."""
    if metric is None:
        return "–"
    if len(metric.rounds) < 2 or metric.low == metric.high:
        return number(metric.value)
    return f"{number(metric.value)} [{number(metric.low)}–{number(metric.high)}]"


def _head(report: RunReport) -> str:
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    peers = ", ".join(
        f"{name} {version or 'not installed'}" for name, version in report.peers.items()
    )
    loads = [
        " ".join(f"{each:.2f}" for each in load.load_average)
        for load in (report.before, report.after)
    ]
    lines = [
        "# Serving benchmarks",
        "",
        f"- machine: {machine.cpu}, {machine.cores} cores, {machine.memory_mb:,} MB; "
        f"{machine.kernel}, Python {machine.python}"
        + (f", governor {machine.governor}" if machine.governor else ""),
        f"- versions: {packages}; commit {machine.commit or 'unknown'}",
        f"- peers: {peers or 'none'}",
        f"- load average at the start: {loads[0]}; at the end: {loads[1]}",
        *(f"- {key}: {value}" for key, value in report.settings.items()),
        "",
        _METHOD,
    ]
    return "\n".join(lines)


def _render_targets(targets: tuple[TargetResult, ...]) -> str:
    marks = {True: "pass", False: "MISS", None: "not measured"}
    lines = [[each.name, each.limit, each.measured, marks[each.met]] for each in targets]
    return "## Targets\n\n" + grid(["target", "limit", "measured", ""], lines)


def grid(header: list[str], lines: list[list[str]]) -> str:
    """Render a Markdown table; cells beyond the header's are left out."""
    rows = [header, ["---"] * len(header), *(line[: len(header)] for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
