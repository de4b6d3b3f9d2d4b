"""Which variant is recommended, and why. Pure: a function of what was measured and what is asked.

Constraints first, then the objective; of what is as good within noise, the simplest. If nothing
meets the constraints nothing is recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgeconsole.protocol.optimization import Constraints, Objective, Variant, VariantStatus
from edgeconsole.runtime.optimizer.explain import Case, explain
from edgeconsole.runtime.optimizer.figures import DropUnit
from edgeconsole.runtime.optimizer.gates import is_measured, marked
from edgeconsole.runtime.optimizer.ranking import choose, fallback_for, front, yardstick


@dataclass(frozen=True, slots=True)
class Choice:
    """The judged variants in the order given, and what follows from them."""

    variants: tuple[Variant, ...]
    recommended: str | None
    fallback: str | None
    why: tuple[str, ...]


def judge(
    baseline: Variant,
    variants: Sequence[Variant],
    constraints: Constraints,
    objective: Objective,
    *,
    unit: DropUnit = DropUnit.POINTS,
) -> Choice:
    """Mark every variant, pick one for the objective and say why.

    `unit` is what drops are counted in. The baseline is compared with, and picked only if it is
    among the variants too. Judging again what was judged before gives the same, so a report can be
    judged under other constraints. Raises `ValueError` if two variants share a name.
    """
    if len({each.name for each in variants}) < len(variants):
        raise ValueError(f"variants share a name: {sorted(each.name for each in variants)}")
    judged = [marked(each, constraints, unit) for each in variants]
    fitting = [each for each in judged if each.status is VariantStatus.OK]
    measured = [each for each in judged if is_measured(each)]
    stick = yardstick(objective, fitting or measured)
    on_front = front(measured, stick.latency)
    rows = tuple(msgspec.structs.replace(each, pareto=each.name in on_front) for each in judged)
    pick = choose(fitting, stick)
    fallback = fallback_for(pick, fitting, baseline) if pick else None
    case = Case(baseline, rows, constraints, objective, unit, stick, pick, fallback)
    return Choice(
        rows,
        pick.name if pick else None,
        fallback.name if fallback else None,
        tuple(explain(case)),
    )
