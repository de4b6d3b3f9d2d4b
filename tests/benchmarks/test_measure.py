"""Statistics of the benchmarks."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Metric, quantile, ratio

numbers = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


@given(numbers)
def test_the_half_quantile_is_the_median(values: list[float]) -> None:
    """The 50 % quantile of sorted numbers is their median."""
    assert quantile(sorted(values), 0.5) == pytest.approx(statistics.median(values), abs=1e-3)


@given(numbers, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow_with_their_share(values: list[float], one: float, other: float) -> None:
    """A larger share never gives a smaller quantile, and none leaves the range of the numbers."""
    ordered = sorted(values)
    low, high = sorted((one, other))
    assert quantile(ordered, low) <= quantile(ordered, high) + 1e-6
    assert ordered[0] <= quantile(ordered, low) <= ordered[-1]


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_impossible_quantiles_are_refused(values: list[float], share: float) -> None:
    """Nothing to choose from, or a share outside 0 to 1, is an error."""
    with pytest.raises(ValueError, match=r"numbers|share"):
        quantile(values, share)


def test_a_metric_is_the_median_of_its_rounds_with_their_quartiles() -> None:
    """`Metric.of` keeps the rounds and says how they spread."""
    metric = Metric.of([5.0, 1.0, 3.0, 2.0, 4.0], "ms")
    assert (metric.value, metric.low, metric.high) == (3.0, 2.0, 4.0)
    assert metric.rounds == (5.0, 1.0, 3.0, 2.0, 4.0)


def test_a_total_adds_its_rounds() -> None:
    """`Metric.total` is for counts; no quartiles of single rounds are shown beside their sum."""
    total = Metric.total([1.0, 2.0, 3.0], "")
    assert (total.low, total.value, total.high) == (6.0, 6.0, 6.0)
    assert total.rounds == (1.0, 2.0, 3.0)


def test_pooled_quantiles_come_from_all_raw_samples() -> None:
    """One slow round must show in the pooled p99, and an empty round must not break it."""
    metric = Metric.pooled([[1.0] * 99, [100.0], []], 0.99, "ms")
    assert metric.value == pytest.approx(1.99)
    assert metric.rounds == (1.0, 100.0)


def test_quantiles_of_each_round_are_summed_up_by_their_median() -> None:
    """One bad round must show in the spread, not in the value; an empty round does not count."""
    metric = Metric.each([[1.0, 1.0], [2.0, 2.0], [90.0, 90.0], []], 0.99, "ms")
    assert metric.value == 2.0
    assert metric.rounds == (1.0, 2.0, 90.0)
    assert metric.high > 2.0


def test_a_ratio_has_an_interval_around_it() -> None:
    """Paired rounds that always differ by two give a ratio of two, with certainty."""
    one = Metric.of([2.0, 4.0, 6.0, 8.0, 10.0], "")
    other = Metric.of([1.0, 2.0, 3.0, 4.0, 5.0], "")
    found = ratio(one, other)
    assert found.value == 2.0
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_a_ratio_is_the_same_every_time() -> None:
    """The bootstrap draws from a fixed seed."""
    one, other = Metric.of([1.0, 5.0, 2.0], ""), Metric.of([3.0, 1.0, 2.0], "")
    assert ratio(one, other) == ratio(one, other)
    assert ratio(one, other).low <= ratio(one, other).value <= ratio(one, other).high


def test_a_ratio_to_zero_is_refused() -> None:
    """There is no ratio to a metric of zero."""
    with pytest.raises(ValueError, match="zero"):
        ratio(Metric.of([1.0], ""), Metric.of([0.0], ""))
