"""Why a variant is picked or none is, in plain sentences with numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from edgeconsole.protocol.optimization import Constraints, Objective, Variant, VariantStatus
from edgeconsole.runtime.optimizer.figures import DropUnit, figure, size, speed, speed_span
from edgeconsole.runtime.optimizer.gates import breaches, loss_of, marked
from edgeconsole.runtime.optimizer.ranking import (
    Simplicity,
    Yardstick,
    best,
    choose,
    cost_of,
    simplicity,
    speed_of,
    value_of,
    yardstick,
)
from edgeconsole.runtime.optimizer.widening import widen

_MOST: Final = 3
"""More sentences of a kind nobody reads; the rows are in the report."""


@dataclass(frozen=True, slots=True)
class Case:
    """What was judged, and the outcome."""

    baseline: Variant
    variants: tuple[Variant, ...]
    constraints: Constraints
    asked: Objective
    unit: DropUnit
    stick: Yardstick
    pick: Variant | None
    fallback: Variant | None

    def having(self, status: VariantStatus) -> list[Variant]:
        """Return the variants of a status, those with the best figures first."""
        rows = [each for each in self.variants if each.status is status]
        return sorted(rows, key=lambda each: (cost_of(each, self.stick.by), each.name))


def explain(case: Case) -> Iterator[str]:
    """Say what is picked against what, what stands in the way of better rows, what would change it."""
    if case.pick is None:
        yield f"nothing fits: {_tally(case)}"
        rows = _nearest_first(case)
        yield from _nearest(case, rows[0]) if rows else _failures(case)
        yield from islice(_alternatives(case, rows), _MOST)
        return
    yield from _picked(case, case.pick)
    yield from _decided_by(case)
    yield from _only_within_noise(case, case.pick)
    yield from _better_but_excluded(case, case.pick)
    yield from islice(_alternatives(case, case.having(VariantStatus.EXCLUDED)), _MOST)
    if case.fallback is not None:
        yield _fallback(case, case.pick, case.fallback)
    yield _tally(case)


def _picked(case: Case, pick: Variant) -> Iterator[str]:
    by, gain = case.stick.by, speed_of(pick, case.baseline)
    text = f"{pick.name} is picked: {_measured(pick, by)}"
    theirs = value_of(case.baseline, by)
    if theirs is not None:
        text += f" against {figure(by, theirs)} of the baseline {case.baseline.name}"
    if gain is not None:
        text += f", speed-up {speed(gain)}{speed_span(pick.ci)}"
    yield text
    loss = loss_of(pick).text(case.unit)
    if loss in pick.reason:
        yield f"{pick.name}: {pick.reason}"
    else:
        yield f"{pick.name}: {'; '.join(filter(None, (loss, pick.reason)))}"
    if gain is not None:
        yield from _no_faster(pick, gain)


def _no_faster(pick: Variant, gain: float) -> Iterator[str]:
    low, high = pick.ci or (gain, gain)
    if high < 1:
        yield f"{pick.name} is slower than the baseline: {speed(gain)}"
    elif low < 1:
        yield f"{pick.name} is not faster than the baseline for certain: {speed(gain)}"


def _decided_by(case: Case) -> Iterator[str]:
    """Say where another measure decides than asked for, and who cannot win by it."""
    asked, by = case.asked, case.stick.by
    if by is not asked:
        unknown = [] if asked is Objective.P99 else [f"{asked} is unknown for all that fit"]
        if by is Objective.P50:
            unknown.append("p99 is unknown with so few runs")
        yield f"{', '.join(unknown)}: {by} decides instead"
    without = [each.name for each in case.having(VariantStatus.OK) if value_of(each, by) is None]
    if without:
        yield f"not picked for want of a known {by}: {', '.join(without)}"


def _only_within_noise(case: Case, pick: Variant) -> Iterator[str]:
    leader = best(case.having(VariantStatus.OK), case.stick)
    if leader.name != pick.name:
        smaller = cost_of(pick, Objective.SIZE) < cost_of(leader, Objective.SIZE)
        if simplicity(pick) < simplicity(leader):
            merit = "simpler"
        else:
            merit = "smaller" if smaller else "better otherwise"
        yield (
            f"{leader.name} ({_measured(leader, case.stick.by)}) is better only within noise; "
            f"{pick.name} is {merit}"
        )


def _better_but_excluded(case: Case, pick: Variant) -> Iterator[str]:
    by = case.stick.by
    better = [
        each
        for each in case.having(VariantStatus.EXCLUDED)
        if cost_of(each, by) < cost_of(pick, by)
    ]
    for each in better[:_MOST]:
        yield f"{each.name} ({_measured(each, by)}) is better but excluded: {each.reason}"
    if len(better) > _MOST:
        yield f"better but excluded, too: {len(better) - _MOST} more"


def _alternatives(case: Case, rows: Iterable[Variant]) -> Iterator[str]:
    """Say which wider constraints would make which excluded row the pick; each is tried."""
    for each in rows:
        wider = widen(case.constraints, breaches(each, case.constraints, case.unit))
        if wider is None:
            continue
        pick, stick = _pick_under(case, wider.constraints)
        if pick is not None and pick.name == each.name:
            yield f"with {wider.flags}, {each.name} would be picked: {_instead(case, each, stick.by)}"


def _pick_under(case: Case, constraints: Constraints) -> tuple[Variant | None, Yardstick]:
    judged = [marked(each, constraints, case.unit) for each in case.variants]
    fitting = [each for each in judged if each.status is VariantStatus.OK]
    stick = yardstick(case.asked, fitting)
    return choose(fitting, stick), stick


def _instead(case: Case, other: Variant, by: Objective) -> str:
    gain = speed_of(other, case.baseline)
    if case.pick is None:
        return _measured(other, by) + (f", speed-up {speed(gain)}" if gain is not None else "")
    held = speed_of(case.pick, case.baseline)
    if by is Objective.P50 and gain is not None and held is not None:
        return f"{speed(gain)} instead of {speed(held)}"
    value = value_of(case.pick, by)
    return _measured(other, by) + (f" instead of {figure(by, value)}" if value is not None else "")


def _nearest_first(case: Case) -> list[Variant]:
    """Return the excluded rows by how far they miss: by unknown figures, then by known ones."""

    def miss(row: Variant) -> tuple[int, float, Simplicity]:
        broken = breaches(row, case.constraints, case.unit)
        known = [each.miss for each in broken if each.over]
        return len(broken) - len(known), sum(known), simplicity(row)

    return sorted(case.having(VariantStatus.EXCLUDED), key=miss)


def _nearest(case: Case, row: Variant) -> Iterator[str]:
    broken = breaches(row, case.constraints, case.unit)
    over = " and ".join(each.over for each in broken if each.over)
    yield f"the nearest is {row.name}: {row.reason}" + (f"; too much by {over}" if over else "")


def _failures(case: Case) -> Iterator[str]:
    for each in case.having(VariantStatus.FAILED)[:_MOST]:
        yield f"{each.name} failed: {each.reason or 'no reason is known'}"


def _fallback(case: Case, pick: Variant, fallback: Variant) -> str:
    assert fallback.size_bytes is not None
    assert pick.size_bytes is not None
    gain = speed_of(fallback, case.baseline)
    return (
        f"{fallback.name} is fit for the fallback rung: {size(fallback.size_bytes)} instead of "
        f"{size(pick.size_bytes)}" + (f", speed-up {speed(gain)}" if gain is not None else "")
    )


def _tally(case: Case) -> str:
    words = {
        VariantStatus.OK: "within the constraints",
        VariantStatus.EXCLUDED: "excluded",
        VariantStatus.FAILED: "failed",
        VariantStatus.SKIPPED: "skipped",
    }
    counts = [f"{len(case.having(status))} {said}" for status, said in words.items()]
    told = ", ".join(text for text in counts if not text.startswith("0 "))
    return f"of {len(case.variants)} variants {told}" if told else "there are no variants"


def _measured(variant: Variant, by: Objective) -> str:
    value = value_of(variant, by)
    return f"{by} unknown" if value is None else f"{by} {figure(by, value)}"
