"""The gates a variant must pass: drop, p99, memory, size. Pure.

What is unknown passes no gate: nothing is let through for want of a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from edgeconsole.protocol.optimization import (
    AGREEMENT,
    CLOSENESS,
    UNLABELLED,
    Constraints,
    Interval,
    Objective,
    Variant,
    VariantStatus,
)
from edgeconsole.runtime.optimizer.figures import (
    DropUnit,
    apart,
    drop_number,
    drop_span,
    figure,
    known,
)

_NOUNS: Final = {AGREEMENT: "disagreement", CLOSENESS: "distance"}
_WITHOUT_LABELS: Final = {
    AGREEMENT: "judged by agreement with the original: no labels",
    CLOSENESS: "judged by closeness to the original's values: no labels, no class scores declared",
}


@dataclass(frozen=True, slots=True)
class Breach:
    """A constraint that a variant does not keep to."""

    gate: str
    """The field of `Constraints`; empty where it is none of them."""
    text: str
    """Measured, bound, and the interval where there is one."""
    needed: float | None = None
    """The least bound that would let it pass; `None` if no bound would."""
    miss: float = math.inf
    """How far it is beyond the bound, as a share of that; infinite if unknown."""
    over: str = ""
    """The same in words; empty if unknown."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a variant loses in accuracy; in points where there are no labels."""

    drop: float | None
    interval: Interval | None
    without_labels: str = ""
    """What it was judged by where there are no labels; empty where there are."""

    @property
    def noun(self) -> str:
        """Return what it is called."""
        return _NOUNS.get(self.without_labels, "drop")

    def unit(self, unit: DropUnit) -> DropUnit:
        """Return what it is counted in, given what drops are counted in."""
        return DropUnit.POINTS if self.without_labels else unit

    def text(self, unit: DropUnit, digits: int = 1) -> str:
        """Return it with its unit and its interval; only for what is known."""
        assert self.drop is not None
        return (
            f"{self.noun} {drop_number(self.drop, digits)} {self.unit(unit)}"
            f"{drop_span(self.interval)}"
        )


def loss_of(variant: Variant) -> Loss:
    """Return a variant's loss: its drop or, where no labels are, how far it is from the original."""
    drop, agreement = known(variant.drop), known(variant.agreement)
    if drop is not None:
        return Loss(drop, variant.drop_ci, variant.metric if variant.metric in UNLABELLED else "")
    if agreement is not None and variant.metric in ("", *UNLABELLED):
        return Loss(100.0 * (1.0 - agreement), None, variant.metric or AGREEMENT)
    return Loss(None, None)


def is_judged(variant: Variant) -> bool:
    """Return whether a variant is to be judged: it was built and gives right answers."""
    return variant.status in (VariantStatus.OK, VariantStatus.EXCLUDED)


def is_measured(variant: Variant) -> bool:
    """Return whether a variant is to be judged and was timed."""
    return is_judged(variant) and known(variant.p50_ms) is not None


def marked(variant: Variant, constraints: Constraints, unit: DropUnit) -> Variant:
    """Mark a variant as OK or excluded, with the reason; an earlier judgement is forgotten.

    An OK one's reason is what is not certain about it. Failed and skipped ones stay as they are.
    """
    if not is_judged(variant):
        return variant
    broken = breaches(variant, constraints, unit)
    status = VariantStatus.EXCLUDED if broken else VariantStatus.OK
    said = [each.text for each in broken] or _doubts(variant, constraints, unit)
    return msgspec.structs.replace(variant, status=status, reason="; ".join(said), pareto=False)


def breaches(variant: Variant, constraints: Constraints, unit: DropUnit) -> tuple[Breach, ...]:
    """Return the constraints that a variant does not keep to."""
    return tuple(_breaches(variant, constraints, unit))


def _breaches(variant: Variant, constraints: Constraints, unit: DropUnit) -> Iterator[Breach]:
    if known(variant.p50_ms) is None:
        yield Breach("", "latency is unknown: it was not timed")
    if loss := _too_lossy(loss_of(variant), constraints.max_drop, unit):
        yield loss
    if constraints.max_p99_ms is not None and (slow := _too_slow(variant, constraints.max_p99_ms)):
        yield slow
    for gate, objective, value, bound in (
        (
            "max_memory_bytes",
            Objective.MEMORY,
            variant.peak_rss_bytes,
            constraints.max_memory_bytes,
        ),
        ("max_size_bytes", Objective.SIZE, variant.size_bytes, constraints.max_size_bytes),
    ):
        if bound is None:
            continue
        if value is None:
            text = f"{objective} is unknown, at most {figure(objective, bound)} allowed"
            yield Breach(gate, text)
        elif value > bound:
            yield _beyond(gate, objective, value, bound)


def _too_lossy(loss: Loss, bound: float, unit: DropUnit) -> Breach | None:
    gate = "max_drop"
    if loss.drop is None:
        allowed = f"at most {drop_number(bound)} {unit} allowed"
        return Breach(gate, f"drop is unknown: accuracy was not measured, {allowed}")
    if loss.drop <= bound:
        return None
    over = loss.drop - bound
    # A bound of nothing is missed by points; no share of it says how far.
    miss = over / max(bound, 1.0)
    digits, allowed = _digits(loss.drop, bound)
    text = f"{loss.text(unit, digits)}, at most {allowed} allowed"
    over_text = f"{drop_number(over, digits)} {loss.unit(unit)}"
    return Breach(gate, text, _finite(loss.drop), miss, over_text)


def _too_slow(variant: Variant, bound: float) -> Breach | None:
    gate = "max_p99_ms"
    p50, p99 = known(variant.p50_ms), known(variant.p99_ms)
    if p99 is not None:
        return _beyond(gate, Objective.P99, p99, bound) if p99 > bound else None
    allowed = f"at most {figure(Objective.P99, bound)} allowed"
    if p50 is not None and p50 > bound:
        return Breach(gate, f"p99 is unknown and p50 is {figure(Objective.P50, p50)}, {allowed}")
    return Breach(gate, f"p99 is unknown with so few runs, {allowed}")


def _beyond(gate: str, objective: Objective, value: float, bound: float) -> Breach:
    measured, allowed = apart(partial(figure, objective), value, bound, 3)
    miss = value / bound - 1.0 if bound > 0 else math.inf
    text = f"{objective} {measured}, at most {allowed} allowed"
    return Breach(gate, text, _finite(value), miss, figure(objective, value - bound))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _doubts(variant: Variant, constraints: Constraints, unit: DropUnit) -> list[str]:
    loss = loss_of(variant)
    doubts = []
    if loss.without_labels:
        doubts.append(_WITHOUT_LABELS[loss.without_labels])
    if loss.interval is not None and loss.interval[1] > constraints.max_drop:
        _, allowed = _digits(loss.interval[1], constraints.max_drop)
        doubts.append(f"{loss.text(unit)}: not certain to be at most {allowed} with this many rows")
    return doubts


def _digits(drop: float, bound: float) -> tuple[int, str]:
    """Return how many digits tell a drop from its bound, and the bound in so many."""
    _, allowed = apart(drop_number, drop, bound, 1)
    return len(allowed.partition(".")[2]), allowed
