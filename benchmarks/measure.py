"""Statistics of repeated measurements: quantiles, medians with their spread, bootstrap ratios.

Pure functions over numbers; nothing here measures anything.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Final, Self

import msgspec

_RESAMPLES: Final = 2_000


class Metric(msgspec.Struct, frozen=True):
    """One figure of a row: its value over all rounds and how much it varied between them."""

    value: float
    low: float
    """The lower quartile over the rounds."""
    high: float
    """The upper quartile over the rounds."""
    unit: str
    rounds: tuple[float, ...]
    """The figure of each round, in order."""

    @classmethod
    def of(cls, rounds: Sequence[float], unit: str) -> Self:
        """Sum rounds up by their median."""
        return cls._with(statistics.median(rounds), rounds, unit)

    @classmethod
    def total(cls, rounds: Sequence[float], unit: str) -> Self:
        """Sum rounds up by adding them; the quartiles of parts say nothing about their sum."""
        value = sum(rounds)
        return cls(value=value, low=value, high=value, unit=unit, rounds=tuple(rounds))

    @classmethod
    def pooled(cls, rounds: Sequence[Sequence[float]], share: float, unit: str) -> Self:
        """Take a quantile of all raw samples together; the spread is that of each round's own."""
        everything = sorted(sample for samples in rounds for sample in samples)
        each = [quantile(sorted(samples), share) for samples in rounds if samples]
        return cls._with(quantile(everything, share), each, unit)

    @classmethod
    def each(cls, rounds: Sequence[Sequence[float]], share: float, unit: str) -> Self:
        """Take a quantile of each round's samples, and sum those up by their median."""
        return cls.of([quantile(sorted(each), share) for each in rounds if each], unit)

    @classmethod
    def _with(cls, value: float, rounds: Sequence[float], unit: str) -> Self:
        ordered = sorted(rounds)
        return cls(
            value=value,
            low=quantile(ordered, 0.25),
            high=quantile(ordered, 0.75),
            unit=unit,
            rounds=tuple(rounds),
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted numbers, interpolated between neighbours.

    Raises:
        ValueError: there are no numbers, or `share` is not 0 to 1.
    """
    if not ordered:
        raise ValueError("there are no numbers to take a quantile of")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a share is 0 to 1, got {share}")
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    part = place - below
    # The convex form could leave the interval by one rounding: stay inside.
    between = ordered[below] + (ordered[above] - ordered[below]) * part
    return min(max(between, ordered[below]), ordered[above])


class Ratio(msgspec.Struct, frozen=True):
    """How one metric stands to another, with a 95 % bootstrap interval over the rounds."""

    value: float
    low: float
    high: float


def ratio(one: Metric, other: Metric, seed: int = 1) -> Ratio:
    """Divide two metrics; rounds that were interleaved are resampled as pairs.

    Raises:
        ValueError: the other metric is zero, so there is no ratio.
    """
    if other.value == 0:
        raise ValueError("a metric of zero has no ratio")
    value = one.value / other.value
    pairs = list(zip(one.rounds, other.rounds, strict=False))
    if len(pairs) < 2 or any(low == 0 for _, low in pairs):
        return Ratio(value, value, value)
    chance = random.Random(seed)
    drawn = sorted(_resampled(chance, pairs) for _ in range(_RESAMPLES))
    return Ratio(value, quantile(drawn, 0.025), quantile(drawn, 0.975))


def _resampled(chance: random.Random, pairs: Sequence[tuple[float, float]]) -> float:
    chosen = chance.choices(pairs, k=len(pairs))
    below = statistics.median(other for _, other in chosen)
    return statistics.median(one for one, _ in chosen) / below
