"""Figures from samples, with what they are worth: percentiles, intervals, agreement. Pure.

Intervals are the percentile bootstrap's at 95 % (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13), never narrower than to hold the estimate itself. A seed gives the same
interval again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edgeconsole.protocol.optimization import Interval
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.figures import DropUnit

LEAST_ROUNDS: Final = 6
"""From six on the least and the greatest of n hold the true median in 1 − 2^(1−n) > 95 % of cases."""
_BEYOND: Final = 10
"""Samples that must lie beyond a percentile: with so few its rank is uncertain by a third."""
_TAILS: Final = (0.025, 0.975)
_MOST_UNKNOWN: Final = 0.025
"""With more resamples without a value than a tail holds, nobody knows where the tail is."""
_FLAT: Final = 1e-9
"""Points: what sums in another order make of no difference."""

Rows = npt.NDArray[np.intp]
Samples = Sequence[float] | npt.NDArray[np.floating[Any]]


class Scored(Protocol):
    """What a model answered on evaluation rows, beside the labels."""

    def value(self, rows: Rows | None) -> float:
        """Return the metric on some rows, which may repeat; on all if `None`."""


@dataclass(frozen=True, slots=True)
class PairedDrop:
    """How much worse a variant is than the original on the same rows."""

    original: float
    variant: float
    """The metric's values."""
    drop: float | None
    """In the unit of drops; `None` for per cent of nothing."""
    interval: Interval | None


def median(samples: Samples) -> float:
    """Return the median; raises `ValueError` without samples or with one that is not finite."""
    return float(np.median(_checked(samples)))


def samples_needed(share: float) -> int:
    """Return how many samples a percentile needs: p50 20, p95 200, p99 1,000.

    So many that ten lie beyond it. Raises `ValueError` unless 0 < share < 1.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"a percentile lies between 0 and 1, not at {share}")
    # 10 / (1 − 0.9) is a hair above 100.
    return math.ceil(_BEYOND / (1.0 - share) - 1e-6)


def percentile_ms(samples: Samples, share: float) -> float | None:
    """Return the least sample that so large a share are not above; `None` with too few samples.

    Raises `ValueError` for a sample that is not finite and for a share outside 0 to 1.
    """
    if len(samples) < samples_needed(share):
        return None
    return float(np.quantile(_checked(samples), share, method="inverted_cdf"))


def ratio_interval(
    rounds_baseline: Samples, rounds_variant: Samples, seed: int, resamples: int = 2000
) -> tuple[float, Interval | None]:
    """Return the speed-up, the median of each round's ratio, and its interval.

    Both are times of the same rounds, in order, so that what disturbed a round hits both sides. The
    interval is `None` with fewer than `LEAST_ROUNDS`. Raises `ValueError` for rounds that do not
    pair up, none at all, and times that are not positive.
    """
    baseline, variant = _checked(rounds_baseline), _checked(rounds_variant)
    if baseline.shape != variant.shape:
        raise ValueError(f"{len(baseline)} rounds do not pair up with {len(variant)}")
    if min(baseline.min(), variant.min()) <= 0:
        raise ValueError("a round's time must be positive")
    ratios = baseline / variant
    ratio = float(np.median(ratios))
    if len(ratios) < LEAST_ROUNDS:
        return ratio, None
    drawn = np.random.default_rng(seed).integers(0, len(ratios), size=(resamples, len(ratios)))
    return ratio, _interval(np.median(ratios[drawn], axis=1), ratio)


def paired_drop(
    original: Scored,
    variant: Scored,
    rows: int,
    seed: int,
    resamples: int = 2000,
    *,
    unit: DropUnit = DropUnit.POINTS,
    higher_is_better: bool = True,
) -> PairedDrop:
    """Return how much worse a variant is, with an interval from resampled rows.

    A resample holds the same rows of both, so that what is hard for both cancels out. The interval
    is `None` where too many resamples have no value. If all give the same difference although
    others are possible, it is as wide as what so many rows cannot show: see `_unseen`. Raises
    `ValueError` without rows.
    """
    if rows < 1:
        raise ValueError("a drop needs at least one row")

    def drop_of(before: float, after: float) -> float:
        worse = before - after if higher_is_better else after - before
        if unit is DropUnit.POINTS:
            return 100.0 * worse
        if before == 0.0:
            return math.nan if worse else 0.0
        return 100.0 * worse / abs(before)

    before, after = original.value(None), variant.value(None)
    drop = drop_of(before, after)
    if not math.isfinite(drop):
        return PairedDrop(before, after, None, None)
    draw = np.random.default_rng(seed)
    drops = np.empty(resamples)
    for index in range(resamples):
        drawn = draw.integers(0, rows, size=rows)
        drops[index] = drop_of(original.value(drawn), variant.value(drawn))
    interval = _interval(drops, drop)
    flat = interval is not None and interval[1] - interval[0] < _FLAT
    if unit is DropUnit.POINTS and flat:
        unseen = 100.0 * _unseen(rows)
        interval = max(drop - unseen, -100.0), min(drop + unseen, 100.0)
    return PairedDrop(before, after, drop, interval)


def agreement(
    original: Mapping[str, Array], variant: Mapping[str, Array], *, scores: bool
) -> float:
    """Return how often a variant answers as the original does, 0 to 1: the mean over rows.

    See `agreement_rows` for what counts, and for errors.
    """
    return float(agreement_rows(original, variant, scores=scores).mean())


def agreement_rows(
    original: Mapping[str, Array], variant: Mapping[str, Array], *, scores: bool
) -> npt.NDArray[np.float64]:
    """Return for each row how far a variant answers as the original does, 0 to 1.

    Outputs come in the manifest's order, rows along their first axis. First output, if it is said to
    be `scores` of classes and holds two or more floats in its last axis: whether the same one is the
    largest, the mean over positions. Other floats: 1 − the relative L2 error of the row, at least 0.
    All else: the share of equal values. Several outputs: their mean. NaN agrees with nothing. Raises
    `ValueError` for outputs that do not match in name, shape or kind, and where there is nothing to
    compare.
    """
    if not original or list(original) != list(variant):
        raise ValueError(f"outputs {list(variant)} do not match {list(original)}")
    shares = list(_shares(original, variant, scores=scores))
    if len({len(each) for each in shares}) > 1:
        raise ValueError(f"outputs differ in rows: {[len(each) for each in shares]}")
    mean: npt.NDArray[np.float64] = np.mean(shares, axis=0)
    return mean


def _shares(
    original: Mapping[str, Array], variant: Mapping[str, Array], *, scores: bool
) -> Iterator[npt.NDArray[np.float64]]:
    for place, (name, ours) in enumerate(original.items()):
        theirs = variant[name]
        if ours.shape != theirs.shape or (ours.dtype.kind == "f") != (theirs.dtype.kind == "f"):
            raise ValueError(
                f"output {name!r} is {theirs.dtype} {list(theirs.shape)}, the original's is "
                f"{ours.dtype} {list(ours.shape)}"
            )
        if not ours.ndim or not ours.size:
            raise ValueError(f"output {name!r} has no rows or no values")
        if ours.dtype.kind != "f":
            yield _by_row(ours == theirs)
        elif scores and place == 0 and ours.ndim > 1 and ours.shape[-1] > 1:
            blind = np.isnan(ours).any(axis=-1) | np.isnan(theirs).any(axis=-1)
            yield _by_row((ours.argmax(axis=-1) == theirs.argmax(axis=-1)) & ~blind)
        else:
            yield closeness(ours, theirs)


def _by_row(equal: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    share: npt.NDArray[np.float64] = equal.reshape(len(equal), -1).mean(axis=1)
    return share


def closeness(ours: Array, theirs: Array) -> npt.NDArray[np.float64]:
    """Return 1 − the relative L2 error of each row, 0 to 1; two rows of nothing are close."""
    flat = ours.reshape(len(ours), -1).astype(np.float64)
    # NaN and infinities have no distance; such a row is not close.
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.linalg.norm(theirs.reshape(len(theirs), -1).astype(np.float64) - flat, axis=1)
        norm = np.linalg.norm(flat, axis=1)
        relative = np.divide(error, norm, out=np.where(error == 0.0, 0.0, 1.0), where=norm > 0.0)
    return np.where(np.isfinite(relative), np.clip(1.0 - relative, 0.0, 1.0), 0.0)


def _interval(values: npt.NDArray[np.float64], estimate: float) -> Interval | None:
    there = values[np.isfinite(values)]
    if len(values) - len(there) > _MOST_UNKNOWN * len(values):
        return None
    low, high = np.quantile(there, _TAILS)
    return min(float(low), estimate), max(float(high), estimate)


def _unseen(rows: int) -> float:
    """Return the largest share of rows that differ which none of so many shows in 2.5 % of cases.

    Resampling rows that all agree only says that they agree: ten equal answers are no proof of a
    hundred. Source: the exact binomial bound of no event in n (Clopper and Pearson, 1934).
    """
    return -math.expm1(math.log(_TAILS[0]) / rows)


def _checked(samples: Samples) -> npt.NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("samples must be there and finite")
    return values
