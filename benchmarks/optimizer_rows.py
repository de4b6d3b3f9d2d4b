"""One pair's outcome, and what it is compared with: the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.check import Check
from benchmarks.pairs.pair import Kind, Pair
from edgeconsole.engines import Engine
from edgeconsole.protocol.optimization import OptimizationReport, Variant, VariantStatus

MIB: Final = 1 << 20
_MOST_SIZE: Final = 0.35
_MOST_MEMORY_MIB: Final = 65.0
_MOST_SEARCH_S: Final = 300.0
_NEAR_BEST: Final = 0.9


@dataclass(frozen=True, slots=True)
class Goal:
    """How many times faster than torch eager a kind of model is to get."""

    least: float
    with_litert: float | None = None
    """Where that engine is installed."""
    reduced_int8: float | None = None
    """The fastest that is both pruned and quantised, and fits."""


GOALS: Final[Mapping[Kind, Goal]] = {
    Kind.MLP: Goal(8.0),
    Kind.CNN: Goal(8.0, with_litert=12.0, reduced_int8=15.0),
    Kind.LARGE_CNN: Goal(4.0),
    Kind.RECURRENT: Goal(8.0),
    Kind.TRANSFORMER: Goal(3.0, with_litert=5.0),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one pair."""

    pair: Pair
    report: OptimizationReport | None = None
    checks: tuple[Check, ...] = ()
    reason: str = ""
    """Why there is no report."""

    @property
    def pick(self) -> Variant | None:
        """Return the recommended variant."""
        return None if self.report is None else recommended(self.report)

    @property
    def summary(self) -> str:
        """Return it in one line."""
        if self.report is None:
            return self.reason
        pick = self.pick
        if pick is None:
            return f"nothing fits; {self.report.took_s:.0f} s"
        return f"{pick.name}, {pick.speedup or 0.0:.1f} ×; {self.report.took_s:.0f} s"


def recommended(report: OptimizationReport) -> Variant | None:
    """Return the row that is recommended."""
    return next((each for each in report.variants if each.name == report.recommended), None)


def fits(report: OptimizationReport) -> list[Variant]:
    """Return the variants that keep to the constraints."""
    return [each for each in report.variants if each.status is VariantStatus.OK]


def least_speedup(pair: Pair, report: OptimizationReport) -> float:
    """Return the target for the recommended variant."""
    goal = GOALS[pair.kind]
    if goal.with_litert is not None and Engine.LITERT in report.device.engines:
        return goal.with_litert
    return goal.least


def checks(pair: Pair, report: OptimizationReport) -> list[Check]:
    """Compare what was found with the targets."""
    pick = recommended(report)
    if pick is None:
        return [Check("a variant that fits", "", "none", met=False)]
    return list(_checks(pair, report, pick))


def _checks(pair: Pair, report: OptimizationReport, pick: Variant) -> Iterator[Check]:
    speedup, least = pick.speedup or 0.0, least_speedup(pair, report)
    yield Check("speed-up", f"≥ {least:g}", f"{speedup:.1f}", speedup >= least)
    reduced_int8 = GOALS[pair.kind].reduced_int8
    if reduced_int8 is not None:
        both = [each.speedup or 0.0 for each in fits(report) if _is_reduced_int8(each)]
        fastest = max(both, default=0.0)
        said = f"{fastest:.1f}" if both else "none fits"
        yield Check("pruned and quantised", f"≥ {reduced_int8:g}", said, fastest >= reduced_int8)
    size = (pick.size_bytes or 0) / (report.baseline.size_bytes or 1)
    yield Check("size of eager's", f"≤ {_MOST_SIZE}", f"{size:.2f}", size <= _MOST_SIZE)
    best = max(each.speedup or 0.0 for each in fits(report))
    share = speedup / best if best else 0.0
    yield Check("of the fastest that fits", f"≥ {_NEAR_BEST}", f"{share:.2f}", share >= _NEAR_BEST)
    if pair.is_small:
        memory_mib = (pick.peak_rss_bytes or 0) / MIB
        most = f"≤ {_MOST_MEMORY_MIB:g}"
        yield Check("memory, MiB", most, f"{memory_mib:.0f}", memory_mib <= _MOST_MEMORY_MIB)
        took_s, limit = report.took_s, f"≤ {_MOST_SEARCH_S:g}"
        yield Check("search, s", limit, f"{took_s:.0f}", took_s <= _MOST_SEARCH_S)


def _is_reduced_int8(variant: Variant) -> bool:
    return "pruned" in variant.technique and "int8" in variant.technique
