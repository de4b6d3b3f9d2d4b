"""The optimiser's benchmark as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.optimizer_rows import MIB, Row, least_speedup
from benchmarks.report import grid
from edgeconsole.protocol.optimization import AGREEMENT, OptimizationReport, Variant

_UNKNOWN: Final = "–"
_FLOAT: Final = "float"


def results_table(rows: Sequence[Row]) -> str:
    """Render one row a model: eager, each engine's fp32, the recommended variant."""
    engines = list(
        dict.fromkeys(each.engine for row in rows if row.report for each in _floats(row.report))
    )
    header = ["model", "eager, p50 ms", "eager, MiB", *(f"{engine} fp32" for engine in engines)]
    header += ["recommended", "speed-up", "target", "size", "memory, MiB"]
    header += ["metric", "drop", "agreement, %", "search, s"]
    return grid(header, [_cells(row, engines, len(header)) for row in rows])


def targets_table(rows: Sequence[Row]) -> str:
    """Render every target and whether it is met."""
    lines = [
        [f"{row.pair.name}: {each.what}", each.limit, each.measured, "met" if each.met else "**missed**"]
        for row in rows
        for each in row.checks
    ]  # fmt: skip
    return grid(["target", "limit", "measured", ""], lines)


def pairs_table(rows: Sequence[Row]) -> str:
    """Render where models and data come from, and what variants are judged on."""
    lines = [
        [
            *(row.pair.name, row.pair.source, row.pair.licence, row.pair.split, row.pair.recipe),
            row.report.evaluation if row.report else _UNKNOWN,
        ]
        for row in rows
    ]
    return grid(["model", "source", "licence", "split", "training", "judged on"], lines)


def _cells(row: Row, engines: Sequence[str], width: int) -> list[str]:
    report, pick = row.report, row.pick
    if report is None:
        return [row.pair.name, row.reason, *[_UNKNOWN] * (width - 2)]
    eager = report.baseline
    floats = {each.engine: each for each in _floats(report)}
    cells = [row.pair.name, _number(eager.p50_ms), _mebibytes(eager.peak_rss_bytes)]
    cells += [_speed(floats.get(engine)) for engine in engines]
    if pick is None:
        cells += ["nothing fits", *[_UNKNOWN] * 7]
    else:
        least = least_speedup(row.pair, report)
        met = "met" if (pick.speedup or 0.0) >= least else "**missed**"
        cells += [
            _named(pick, engines),
            _speed(pick),
            f"≥ {least:g}: {met}",
            _ratio(pick.size_bytes, eager.size_bytes),
            _mebibytes(pick.peak_rss_bytes),
            _metric(eager, pick),
            _span(pick.drop, pick.drop_ci),
            _UNKNOWN if pick.agreement is None else f"{100 * pick.agreement:.1f}",
        ]
    return [*cells, f"{report.took_s:.0f}"]


def _floats(report: OptimizationReport) -> list[Variant]:
    """Return the unchanged model in each engine, on one thread."""
    return [each for each in report.variants if each.technique == _FLOAT and each.threads == 1]


def _named(pick: Variant, engines: Sequence[str]) -> str:
    return pick.name if len(engines) < 2 else f"{pick.name} ({pick.engine})"


def _metric(eager: Variant, pick: Variant) -> str:
    if pick.metric == AGREEMENT or eager.metric_value is None:
        return "no labels: agreement"
    return f"{pick.metric} {_number(eager.metric_value)} → {_number(pick.metric_value)}"


def _mebibytes(size: int | None) -> str:
    return _number(None if size is None else size / MIB)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3g}"


def _speed(variant: Variant | None) -> str:
    if variant is None or variant.speedup is None:
        return _UNKNOWN
    return _span(variant.speedup, variant.ci) + " ×"


def _span(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return _UNKNOWN
    inside = f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else ""
    return f"{value:.1f}{inside}"


def _ratio(size: int | None, of: int | None) -> str:
    return _UNKNOWN if size is None or not of else f"{size / of:.2f} ×"
