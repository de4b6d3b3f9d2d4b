"""Figures from samples: what they say, what they are worth, and when they say nothing."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from edgeconsole.runtime.optimizer.figures import DropUnit
from edgeconsole.runtime.optimizer.stats import (
    LEAST_ROUNDS,
    _interval,
    agreement,
    agreement_rows,
    median,
    paired_drop,
    percentile_ms,
    ratio_interval,
    samples_needed,
)

TIMES = st.floats(0.01, 1e4)
SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@dataclass
class Mean:
    """A metric that is the mean of something of each row."""

    each: np.ndarray

    def value(self, rows: np.ndarray | None) -> float:
        """Return the mean over some rows."""
        return float((self.each if rows is None else self.each[rows]).mean())


def answers(rows: int, wrong: int) -> Mean:
    """Return right answers but for the first few."""
    right = np.ones(rows)
    right[:wrong] = 0.0
    return Mean(right)


# Percentiles


@pytest.mark.parametrize(
    ("share", "needed"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000)]
)
def test_ten_samples_lie_beyond_a_percentile(share, needed):
    """One sample too few, and it is unknown; with enough, ten are at or above it."""
    samples = np.arange(1.0, needed + 1)
    assert samples_needed(share) == needed
    assert percentile_ms(samples[1:], share) is None
    found = percentile_ms(samples, share)
    assert found is not None
    assert (samples > found).sum() == 10


@given(st.integers(0, 2**32 - 1), st.integers(20, 3000), SHARES)
def test_a_percentile_is_a_sample_of_the_right_rank(seed, count, share):
    """It is one of the samples, and scipy finds the same."""
    samples = np.random.default_rng(seed).exponential(size=count)
    found = percentile_ms(samples, share)
    if count < samples_needed(share):
        assert found is None
        return
    assert found in samples
    assert found == reference.quantile(samples, share, method="inverted_cdf")


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, 1.5, math.nan])
def test_a_percentile_beyond_the_samples_is_an_error(share):
    """There is no sample that all are below."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile_ms([1.0] * 100, share)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_a_median_needs_samples_that_are_numbers(samples):
    """NaN must not become a figure in a report."""
    with pytest.raises(ValueError, match="finite"):
        median(samples)


def test_the_median_of_an_even_count_lies_between():
    """Half of the samples lie on each side."""
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


# Speed-ups


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_the_interval_holds_the_speed_up(rounds, seed):
    """Whatever was measured: low, speed-up, high; and none of it beyond what any round showed."""
    baseline, variant = zip(*rounds, strict=True)
    ratio, interval = ratio_interval(baseline, variant, seed, 200)
    ratios = np.divide(baseline, variant)
    if len(rounds) < LEAST_ROUNDS:
        assert interval is None
        return
    assert interval is not None
    assert ratios.min() <= interval[0] <= ratio <= interval[1] <= ratios.max()
    assert (ratio, interval) == ratio_interval(baseline, variant, seed, 200)


@pytest.mark.parametrize(("rounds", "known"), [(1, False), (5, False), (6, True)])
def test_few_rounds_give_no_interval(rounds, known):
    """Five rounds all lie on one side of the true median more often than 5 %: 1 in 16."""
    times = np.linspace(8.0, 9.0, rounds)
    assert (ratio_interval(times, np.ones(rounds), 1)[1] is not None) == known


def test_an_interval_is_never_beside_its_estimate():
    """Where resamples are biased to one side, it is made to hold the estimate."""
    assert _interval(np.array([2.0, 2.0]), 1.0) == (1.0, 2.0)
    assert _interval(np.array([2.0, 2.0]), 3.0) == (2.0, 3.0)


def test_drift_that_hits_both_sides_is_no_difference():
    """A device that slows down fivefold while measuring changes no ratio."""
    drift = np.geomspace(1.0, 5.0, 9)
    assert ratio_interval(8.0 * drift, 2.0 * drift, 7) == (
        pytest.approx(4.0),
        (pytest.approx(4.0), pytest.approx(4.0)),
    )


def test_the_speed_ups_interval_is_scipys():
    """Scipy's percentile bootstrap of the median gives about the same."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    draw = np.random.default_rng(seed)
    baseline, variant = draw.normal(8.0, 0.4, 25), draw.normal(2.0, 0.1, 25)
    _, interval = ratio_interval(baseline, variant, seed, 8000)
    theirs = reference.bootstrap(
        (baseline / variant,), np.median, n_resamples=8000, method="percentile", rng=draw
    ).confidence_interval
    spread = (baseline / variant).std()
    assert interval == pytest.approx((theirs.low, theirs.high), abs=0.15 * spread)


@pytest.mark.parametrize(
    ("baseline", "variant", "said"),
    [([1.0], [1.0, 2.0], "pair up"), ([], [], "finite"), ([1.0], [0.0], "positive")],
)
def test_rounds_that_do_not_pair_up_are_an_error(baseline, variant, said):
    """Nothing is said about rounds that were not measured side by side."""
    with pytest.raises(ValueError, match=said):
        ratio_interval(baseline, variant, 1)


# Drops


def test_three_flips_of_two_hundred_are_no_loss():
    """The interval of 1.5 points holds nothing lost, or nearly so; with ten times the rows it does not."""
    few = paired_drop(answers(200, 0), answers(200, 3), 200, 1)
    many = paired_drop(answers(2000, 0), answers(2000, 30), 2000, 1)
    assert few.drop == many.drop == pytest.approx(1.5)
    assert few.interval is not None
    assert many.interval is not None
    assert few.interval[0] < 0.1
    assert many.interval[0] > 0.9


def test_what_is_hard_for_both_cancels_out():
    """Both wrong in the same third of all rows: the interval is that of the few that differ."""
    base = answers(900, 300)
    worse = answers(900, 305)
    found = paired_drop(base, worse, 900, 3)
    assert found.drop == pytest.approx(100 * 5 / 900)
    assert found.interval is not None
    assert found.interval[1] < 1.3


@pytest.mark.parametrize(("rows", "most"), [(10, 31.0), (50, 7.2), (200, 1.9), (900, 0.42)])
def test_no_difference_on_few_rows_is_no_proof(rows, most):
    """The interval is the exact binomial one for no event in so many rows, both ways."""
    found = paired_drop(answers(rows, 2), answers(rows, 2), rows, 5, 50)
    exact = 100 * reference.binomtest(0, rows).proportion_ci(0.95, method="exact").high
    assert found.drop == 0.0
    assert found.interval == (pytest.approx(-exact), pytest.approx(exact))
    assert exact < most


def test_no_drop_lies_beyond_all_points():
    """All rows lost is a hundred points, and never more."""
    found = paired_drop(answers(5, 0), answers(5, 5), 5, 5, 50)
    assert found.interval is not None
    assert found.drop == found.interval[1] == 100.0


def test_the_drops_interval_is_scipys():
    """Scipy's paired percentile bootstrap gives about the same."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    draw = np.random.default_rng(seed)
    before, after = draw.normal(3.0, 1.0, 200), draw.normal(3.3, 1.0, 200)
    found = paired_drop(
        Mean(before), Mean(after), 200, seed, 4000, unit=DropUnit.PERCENT, higher_is_better=False
    )
    theirs = reference.bootstrap(
        (before, after),
        lambda one, other, axis: 100 * (other.mean(axis) / one.mean(axis) - 1),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=draw,
    ).confidence_interval
    assert found.drop == pytest.approx(100 * (after.mean() / before.mean() - 1))
    assert found.interval == pytest.approx((theirs.low, theirs.high), abs=0.7)


@pytest.mark.parametrize(
    ("before", "after", "unit", "higher", "drop"),
    [
        (0.9, 0.88, DropUnit.POINTS, True, 2.0),
        (0.88, 0.9, DropUnit.POINTS, True, -2.0),
        (0.1, 0.12, DropUnit.POINTS, False, 2.0),
        (4.0, 5.0, DropUnit.PERCENT, False, 25.0),
        (4.0, 3.0, DropUnit.PERCENT, False, -25.0),
        (-4.0, -5.0, DropUnit.PERCENT, True, 25.0),
        (0.0, 0.0, DropUnit.PERCENT, False, 0.0),
        (0.0, 0.1, DropUnit.PERCENT, False, None),
    ],
)
def test_a_drop_is_positive_when_the_variant_is_worse(before, after, unit, higher, drop):
    """In points, or in per cent of the original's value; of nothing there is no per cent."""
    one, other = Mean(np.full(20, before)), Mean(np.full(20, after))
    found = paired_drop(one, other, 20, 1, 20, unit=unit, higher_is_better=higher)
    assert found.drop == (None if drop is None else pytest.approx(drop))
    assert (found.interval is None) == (drop is None)
    assert (found.original, found.variant) == (pytest.approx(before), pytest.approx(after))


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_the_interval_holds_the_drop_and_the_seed_gives_it_again(rows, seed):
    """Low, drop, high, within a hundred points; the other way round it is the mirror image's."""
    before, after = (Mean(np.array(each, dtype=float)) for each in zip(*rows, strict=True))
    found = paired_drop(before, after, len(rows), seed, 100)
    assert found.interval is not None
    assert found.drop is not None
    assert -100.0 <= found.interval[0] <= found.drop <= found.interval[1] <= 100.0
    assert found == paired_drop(before, after, len(rows), seed, 100)
    mirrored = paired_drop(after, before, len(rows), seed, 100)
    assert mirrored.drop == pytest.approx(-found.drop)
    assert mirrored.interval == pytest.approx((-found.interval[1], -found.interval[0]))


@pytest.mark.parametrize(("unknown", "there"), [(0.01, True), (0.2, False)])
def test_resamples_without_a_value_leave_the_interval_unknown(unknown, there):
    """A metric that some rows alone do not have: few gaps are left out, many say nothing is known."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)

    class Gaps(Mean):
        def value(self, rows):
            if rows is not None and chance.random() < unknown:
                return math.nan
            return super().value(rows)

    found = paired_drop(Mean(np.ones(50)), Gaps(np.arange(50) % 2.0), 50, seed)
    assert (found.interval is not None) == there


def test_a_drop_needs_rows():
    """Nothing was compared: that is an error, not a drop of nothing."""
    with pytest.raises(ValueError, match="at least one row"):
        paired_drop(answers(1, 0), answers(1, 0), 0, 1)


# Agreement


def floats(*rows):
    """Return one output named y, of 32 bits."""
    return {"y": np.array(rows, dtype=np.float32)}


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        # scores: only the largest counts
        (floats([1, 2], [4, 3]), floats([0, 9], [9, 0]), 1.0),
        (floats([1, 2], [4, 3]), floats([9, 0], [9, 0]), 0.5),
        # positions are averaged within their row
        (floats([[1, 2], [1, 2]]), floats([[1, 2], [2, 1]]), 0.5),
        # masked scores are scores
        (floats([-math.inf, 2]), floats([-math.inf, 3]), 1.0),
        # NaN answers nothing, whoever gave it
        (floats([1, 2], [1, 2]), floats([1, math.nan], [1, 2]), 0.5),
        (floats([math.nan, 2]), floats([math.nan, 2]), 0.0),
        # one value a row: its relative error
        (floats([2.0], [4.0]), floats([2.0], [3.0]), 0.875),
        (floats([2.0]), floats([-9.0]), 0.0),
        (floats([0.0], [0.0]), floats([0.0], [1e-9]), 0.5),
        (floats([2.0], [2.0]), floats([math.nan], [2.0]), 0.5),
        (floats([math.inf]), floats([math.inf]), 0.0),
        (floats(2.0, 4.0), floats(2.0, 3.0), 0.875),
        # integers, truths, texts: equal or not
        ({"y": np.array([[1, 2], [3, 4]])}, {"y": np.array([[1, 2], [3, 5]])}, 0.75),
        ({"y": np.array([True, False])}, {"y": np.array([True, True])}, 0.5),
        ({"y": np.array(["a", "b"])}, {"y": np.array(["a", "c"])}, 0.5),
    ],
)
def test_a_variant_agrees_where_it_answers_as_the_original(ours, theirs, share):
    """Each kind of output has its way of being the same answer."""
    assert agreement(ours, theirs, scores=True) == pytest.approx(share)


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        # the largest is the same, the values are not; and the other way round
        (floats([3.0, 4.0]), floats([0.0, 4.0]), 0.4),
        (floats([3.0, 3.1]), floats([3.1, 3.0]), 1.0 - math.sqrt(0.02 / 18.61)),
        ({"y": np.array([[1, 2], [3, 4]])}, {"y": np.array([[1, 2], [3, 5]])}, 0.75),
    ],
)
def test_values_that_are_no_scores_are_compared_as_values(ours, theirs, share):
    """What dimension of an embedding is the largest says nothing; equal class numbers do."""
    assert agreement(ours, theirs, scores=False) == pytest.approx(share)


def test_only_the_first_output_holds_scores_and_outputs_count_alike():
    """A second output's floats are compared as values; the row's share is the outputs' mean."""
    ours = {"scores": np.array([[1.0, 2.0]]), "box": np.array([[3.0, 4.0]])}
    theirs = {"scores": np.array([[0.0, 9.0]]), "box": np.array([[3.0, 1.5]])}
    assert agreement_rows(ours, theirs, scores=True) == pytest.approx([0.75])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (floats([1, 2]), {"z": np.ones((1, 2))}),
        (floats([1, 2]), floats([1, 2], [1, 2])),
        (floats([1, 2]), {"y": np.ones((1, 2), dtype=int)}),
        ({"y": np.ones((0, 2))}, {"y": np.ones((0, 2))}),
        ({"y": np.float64(1.0)}, {"y": np.float64(1.0)}),
        ({"y": np.ones((2, 2)), "z": np.ones(3)}, {"y": np.ones((2, 2)), "z": np.ones(3)}),
    ],
)
def test_outputs_that_do_not_match_are_an_error(ours, theirs):
    """A variant that returns one row of three must not agree by broadcasting."""
    with pytest.raises(ValueError, match="output"):
        agreement(ours, theirs, scores=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 5), st.booleans())
def test_agreement_is_a_share_and_with_itself_complete(seed, rows, width, scores):
    """Between 0 and 1 for any floats, 1 for the same outputs."""
    draw = np.random.default_rng(seed)
    ours = {"y": draw.normal(size=(rows, width)), "z": draw.normal(size=(rows, width))}
    theirs = {"y": draw.normal(size=(rows, width)), "z": draw.normal(size=(rows, width))}
    assert 0.0 <= agreement(ours, theirs, scores=scores) <= 1.0
    assert agreement(ours, ours, scores=scores) == 1.0
