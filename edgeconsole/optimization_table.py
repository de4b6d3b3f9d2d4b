"""An optimisation's report as text for a terminal, on the device or on the operator's machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from edgeconsole.protocol.optimization import OptimizationReport, Variant, VariantStatus

_HEAD: Final = (
    "", "VARIANT", "SPEED", "P50 MS", "P99 MS", "SIZE", "MEMORY", "VALUE", "DROP", "STATUS",
)  # fmt: skip
_LEFT: Final = frozenset({0, 1, 9})
_UNKNOWN: Final = "–"


def report_lines(report: OptimizationReport) -> Iterator[str]:
    """Yield the report's lines: the table, then what is recommended and why."""
    device = report.device
    yield (
        f"{report.model}/{report.version} · {report.level} · measured on {device.cpu}, "
        f"{device.cores} cores"
    )
    yield f"engines: {', '.join(f'{name} {version}' for name, version in device.engines.items())}"
    yield f"judged by {report.evaluation}" + (" · from the cache" if report.cache == "hit" else "")
    yield ""
    rows = [_HEAD, _row(report.baseline, "")]
    timed = [each for each in _sorted(report.variants) if each.speedup is not None]
    rows += [_row(each, _mark(each, report)) for each in timed]
    yield from _columns(rows)
    rest = [each for each in report.variants if each.speedup is None]
    if rest:
        yield ""
    for each in rest:
        yield f"{each.status}: {each.name}: {each.reason}"
    yield ""
    yield from report.why


def _sorted(variants: Sequence[Variant]) -> list[Variant]:
    return sorted(variants, key=lambda each: -(each.speedup or 0.0))


def _mark(variant: Variant, report: OptimizationReport) -> str:
    if variant.name == report.recommended:
        return "→"
    return "·" if variant.pareto else ""


def _row(variant: Variant, mark: str) -> tuple[str, ...]:
    speed = _UNKNOWN if variant.speedup is None else f"{variant.speedup:.1f} ×"
    status = "" if variant.status is VariantStatus.OK else f"{variant.status}: {variant.reason}"
    return (
        mark,
        variant.name,
        speed,
        _number(variant.p50_ms),
        _number(variant.p99_ms),
        _size(variant.size_bytes),
        _size(variant.peak_rss_bytes),
        _UNKNOWN if variant.metric_value is None else f"{variant.metric_value:.4f}",
        _UNKNOWN if variant.drop is None else f"{variant.drop:.2f}",
        status,
    )


def _number(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _size(value: int | None) -> str:
    if value is None:
        return _UNKNOWN
    if value < 1 << 20:
        return f"{value / 1024:.0f} K"
    return f"{value / (1 << 20):.1f} M"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for row in rows:
        cells = [
            cell.ljust(width) if at in _LEFT else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
