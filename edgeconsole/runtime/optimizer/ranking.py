"""How measured variants compare: the Pareto front, ties within noise, which is simpler. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from operator import le
from typing import Final

from edgeconsole.protocol.optimization import Objective, Variant
from edgeconsole.runtime.optimizer.figures import known
from edgeconsole.runtime.optimizer.gates import loss_of

_SAME: Final = 1.02
"""Sizes, memory and energy within this ratio are equal."""
_SAME_TAIL: Final = 1.1
"""Likewise p99, whose own noise no interval says: ten of a thousand runs lie beyond it."""
_JITTER_MS: Final = 0.03
"""What interrupts and the scheduler add to one run in a hundred, however short it is."""
_SMALLER: Final = 0.8
"""A fallback has at most this share of the pick's size."""
_HALF: Final = 0.5
"""What is as good otherwise but has at most this share of the size is worth being less simple."""
_STEPS: Final = (
    ("float", "fp32", "none"),
    ("weights", "fp16", "bf16"),
    ("dynamic",),
    ("static",),
    ("mixed",),
    ("pruned", "distilled"),
)
"""The words of a technique, simplest first: what needs no data, data, a search, training."""
_RANKS: Final = {word: rank for rank, words in enumerate(_STEPS) for word in words}

Simplicity = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What variants are compared by."""

    by: Objective
    """What decides: what is asked for, or a latency if that is unknown for all."""
    latency: Objective
    """p99 where any knows it, unless p50 was asked for."""


def yardstick(asked: Objective, variants: Sequence[Variant]) -> Yardstick:
    """Return what to compare timed variants by."""
    there = {each for each in Objective if any(value_of(one, each) is not None for one in variants)}
    tail = asked is not Objective.P50 and Objective.P99 in there
    latency = Objective.P99 if tail else Objective.P50
    return Yardstick(asked if asked in there else latency, latency)


def value_of(variant: Variant, objective: Objective) -> float | None:
    """Return what an objective makes small; `None` if it is unknown."""
    match objective:
        case Objective.P50:
            return known(variant.p50_ms)
        case Objective.P99:
            return known(variant.p99_ms)
        case Objective.SIZE:
            return variant.size_bytes
        case Objective.MEMORY:
            return variant.peak_rss_bytes
        case Objective.ENERGY:
            return known(variant.energy_mj)


def cost_of(variant: Variant, objective: Objective) -> float:
    """Return the same for comparisons: what is unknown counts as the worst."""
    value = value_of(variant, objective)
    return math.inf if value is None else value


def costs(variant: Variant, latency: Objective) -> tuple[float, ...]:
    """Return all that should be small, unknown as infinite: it never helps to dominate."""
    drop = loss_of(variant).drop
    return (
        cost_of(variant, latency),
        math.inf if drop is None else drop,
        cost_of(variant, Objective.SIZE),
        cost_of(variant, Objective.MEMORY),
        cost_of(variant, Objective.ENERGY),
    )


def simplicity(variant: Variant) -> Simplicity:
    """Return a key that is smaller for the simpler variant.

    Fewer threads first: they are taken from everything else on the device. Then the technique:
    float before weights in fewer bits, dynamic, static, mixed, and pruned or distilled last; of two with
    the same hardest step, the one with fewer. A technique without a known word comes after all.
    """
    words = re.split(r"[^a-z0-9]+", variant.technique.lower())
    steps = sorted((_RANKS[word] for word in words if word in _RANKS), reverse=True)
    return variant.threads, tuple(steps) or (len(_STEPS),)


def front(variants: Sequence[Variant], latency: Objective) -> frozenset[str]:
    """Return the names on the Pareto front: no other is as good in all and better in one."""
    points = {each.name: costs(each, latency) for each in variants}
    return frozenset(
        name
        for name, point in points.items()
        if not any(other != point and _no_worse(other, point) for other in points.values())
    )


def best(variants: Sequence[Variant], stick: Yardstick) -> Variant:
    """Return the variant with the best measured figure, whatever the noise."""
    return min(variants, key=lambda each: (cost_of(each, stick.by), *_order(each, stick)))


def choose(variants: Sequence[Variant], stick: Yardstick) -> Variant | None:
    """Return the pick: the simplest of those that are as good as the best within noise.

    One that is at most half as large as a simpler one goes before it: it is sent and kept.

    What another beats in every figure and in simplicity is never picked, however noisy it is, so
    that such a variant can come and go without changing the pick.
    """
    if not variants:
        return None
    leader = best(variants, stick)
    tied = [
        each
        for each in variants
        if _ties(each, leader, stick.by) and not any(_beats(one, each, stick) for one in variants)
    ]
    # By what was asked for they are equal: what is left of it is noise, and decides last.
    tied.sort(
        key=lambda each: (
            simplicity(each),
            cost_of(each, Objective.SIZE),
            *_order(each, stick),
        )
    )
    pick = tied[0]
    for each in tied[1:]:
        if _is_half_of(each.size_bytes, pick.size_bytes):
            pick = each
    return pick


def _is_half_of(size_bytes: int | None, other_bytes: int | None) -> bool:
    """Say whether one size is at most half of another; of what is unknown nobody can."""
    return size_bytes is not None and other_bytes is not None and size_bytes <= _HALF * other_bytes


def fallback_for(pick: Variant, variants: Sequence[Variant], baseline: Variant) -> Variant | None:
    """Return the smallest that is clearly smaller than the pick and not slower than the baseline.

    Of those of one size, within noise, the simplest.
    """
    if pick.size_bytes is None:
        return None
    most = _SMALLER * pick.size_bytes
    small = [
        each
        for each in variants
        if cost_of(each, Objective.SIZE) <= most and (speed_of(each, baseline) or 0.0) >= 1.0
    ]
    return choose(small, yardstick(Objective.SIZE, small))


def speed_of(variant: Variant, baseline: Variant) -> float | None:
    """Return the speed-up: as measured in rounds, or by the medians; `None` if unknown."""
    if (measured := known(variant.speedup)) is not None:
        return measured
    mine, theirs = known(variant.p50_ms), known(baseline.p50_ms)
    return theirs / mine if mine and theirs is not None else None


def _ties(variant: Variant, leader: Variant, by: Objective) -> bool:
    """Return whether a variant is as good as the best within noise."""
    if variant is leader:
        return True
    mine, least = value_of(variant, by), value_of(leader, by)
    if mine is None or least is None:
        return False
    if by not in (Objective.P50, Objective.P99):
        return mine <= least * _SAME
    if variant.ci is None or leader.ci is None:
        return mine <= least * _SAME
    # The speed-up is that of the median: it says nothing of a tail, whose leader may be a slow one.
    no_slower = variant.ci[1] >= leader.ci[0]
    return no_slower and (
        by is Objective.P50 or mine <= max(least * _SAME_TAIL, least + _JITTER_MS)
    )


def _beats(one: Variant, other: Variant, stick: Yardstick) -> bool:
    mine, theirs = costs(one, stick.latency), costs(other, stick.latency)
    simple, simpler = simplicity(one), simplicity(other)
    return _no_worse(mine, theirs) and simple <= simpler and (mine != theirs or simple != simpler)


def _no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(starmap(le, zip(one, other, strict=True)))


def _order(variant: Variant, stick: Yardstick) -> tuple[tuple[float, ...], Simplicity, str]:
    """Return what decides between equals; the name, so that the order of rows never does."""
    return costs(variant, stick.latency), simplicity(variant), variant.name
