"""Figures in constant memory: buckets that bound their error, windows that slide by the clock."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeconsole.protocol.inference import DEFAULT_PRIORITY, PriorityClass
from edgeconsole.runtime.serving.metrics import (
    BUCKETS,
    WINDOW_S,
    PerformanceMetrics,
    Phase,
    SlidingHistogram,
    bucket_limit_us,
    bucket_of,
    buckets_of,
)

LAST_US = 2**26 - 1
"""The largest duration that has a bucket of its own."""


@given(st.integers(0, LAST_US))
@example(0)
@example(63)
@example(64)
@example(LAST_US)
def test_a_bucket_bounds_its_durations_within_a_32nd(us: int) -> None:
    """A bucket's limit is at least the duration, and at most 1/32 above it."""
    limit_us = bucket_limit_us(bucket_of(us))
    assert us <= limit_us <= us + us / 32


@given(st.integers(0, LAST_US), st.integers(0, LAST_US))
def test_longer_durations_are_never_in_lower_buckets(one: int, other: int) -> None:
    """The order of durations is the order of their buckets."""
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


def test_buckets_meet_without_holes() -> None:
    """Every bucket ends where the next begins, and its limit is inside it."""
    for bucket in range(BUCKETS):
        limit_us = bucket_limit_us(bucket)
        assert bucket_of(limit_us) == bucket
        assert bucket_of(limit_us + 1) == min(bucket + 1, BUCKETS - 1)


@pytest.mark.parametrize(
    ("us", "bucket"), [(-5, 0), (LAST_US + 1, BUCKETS - 1), (2**40, BUCKETS - 1)]
)
def test_durations_beyond_the_range_count_at_its_ends(us: int, bucket: int) -> None:
    """A clock that stepped back counts as nothing, an endless wait in the last bucket."""
    assert bucket_of(us) == bucket


@given(
    st.lists(st.floats(0.0, 60_000.0), min_size=1, max_size=200),
    st.floats(0.0, 1.0),
)
def test_percentiles_are_at_most_a_32nd_above_the_true_value(
    durations_ms: list[float], share: float
) -> None:
    """The reported duration is the exact one of that rank, rounded up by at most 1/32."""
    histogram = SlidingHistogram()
    for duration_ms in durations_ms:
        histogram.record(1000.0, duration_ms)
    (found,) = histogram.percentiles_ms(1000.0, share)
    rank = max(1, math.ceil(share * len(durations_ms)))
    exact_us = int(sorted(durations_ms)[rank - 1] * 1000)
    assert found is not None
    assert exact_us <= round(found * 1000) <= exact_us + exact_us / 32


def test_percentiles_without_requests_are_unknown() -> None:
    """No answers, no figures: one `None` for each share asked for."""
    for now_s in (0.0, 5.0, 1e6):
        assert SlidingHistogram().percentiles_ms(now_s, 0.5, 0.99) == (None, None)
        assert SlidingHistogram().rate_per_s(now_s) == 0.0


@pytest.mark.parametrize(
    ("now_s", "counted"),
    [(100.0, True), (100.999, True), (159.999, True), (160.0, False), (1e6, False)],
)
def test_the_window_is_sixty_seconds(now_s: float, *, counted: bool) -> None:
    """A duration counts for the 60 seconds that began with its own."""
    histogram = SlidingHistogram()
    histogram.record(100.5, 7.0)
    (found,) = histogram.percentiles_ms(now_s, 0.5)
    assert (found is not None) is counted


def test_a_slot_is_emptied_before_it_is_used_again() -> None:
    """The second that shares a slot with one a minute ago does not inherit its counts."""
    histogram = SlidingHistogram()
    for _ in range(9):
        histogram.record(100.0, 500.0)
    histogram.record(100.0 + WINDOW_S, 1.0)
    (found,) = histogram.percentiles_ms(100.0 + WINDOW_S, 0.99)
    assert found == pytest.approx(1.0, rel=1 / 32)


def test_seconds_are_merged() -> None:
    """Percentiles are over all seconds of the window, not over the latest alone."""
    histogram = SlidingHistogram()
    for second in range(50):
        histogram.record(200.0 + second, float(second + 1))
    low, middle = histogram.percentiles_ms(249.0, 0.02, 0.5)
    assert low == pytest.approx(1.0, rel=1 / 32)
    assert middle == pytest.approx(25.0, rel=1 / 32)


@pytest.mark.parametrize(
    ("now_s", "rate"),
    [
        (100.9, 0.0),  # The second in progress is not over.
        (101.0, 2.0),
        (105.9, 2.0),
        (106.0, 0.0),
    ],
)
def test_rates_are_of_five_whole_seconds(now_s: float, rate: float) -> None:
    """Ten answers within one second are two a second, for as long as that second is among five."""
    histogram = SlidingHistogram()
    for _ in range(10):
        histogram.record(100.5, 1.0)
    assert histogram.rate_per_s(now_s) == rate


def test_a_steady_rate_is_exact() -> None:
    """Under steady load the rate is the load, wherever in a second it is asked for."""
    histogram = SlidingHistogram()
    for tenth in range(200):
        histogram.record(300.0 + tenth / 10, 1.0)
    for now_s in (312.0, 312.5, 312.99):
        assert histogram.rate_per_s(now_s) == pytest.approx(10.0)


def test_an_answer_counts_in_every_phase() -> None:
    """The phases of an answer add up to its total; the overhead is what the others leave."""
    metrics = PerformanceMetrics()
    priority = PriorityClass.of(DEFAULT_PRIORITY)
    metrics.record(10.0, priority, queue_ms=1.0, batch_ms=0.5, infer_ms=4.0, total_ms=8.0)
    assert metrics.answered[priority] == 1
    found = {phase: metrics.percentiles_ms(10.0, phase, 0.5)[0] for phase in Phase}
    expected = {
        Phase.QUEUE: 1.0,
        Phase.BATCH: 0.5,
        Phase.INFER: 4.0,
        Phase.OVERHEAD: 2.5,
        Phase.TOTAL: 8.0,
    }
    assert found == pytest.approx(expected, rel=1 / 32)


def test_priorities_are_counted_apart_and_shown_together() -> None:
    """Percentiles and rates are over all priorities, whatever share each has."""
    metrics = PerformanceMetrics()
    for priority, total_ms in ((0, 1.0), (10, 9.0)):
        metrics.record(
            10.5,
            PriorityClass.of(priority),
            queue_ms=0.0,
            batch_ms=0.0,
            infer_ms=total_ms,
            total_ms=total_ms,
        )
    low, high = metrics.percentiles_ms(11.0, Phase.TOTAL, 0.5, 1.0)
    assert (low, high) == pytest.approx((1.0, 9.0), rel=1 / 32)
    assert metrics.rate_per_s(11.0) == pytest.approx(2 / 5)


@given(st.lists(st.floats(0, 1e8), max_size=200))
def test_many_durations_fall_where_each_would(durations_ms):
    """Counting durations together puts each in the bucket it would get alone."""
    values = np.array(durations_ms, np.float64)
    assert buckets_of(values).tolist() == [bucket_of(int(each * 1000)) for each in durations_ms]
