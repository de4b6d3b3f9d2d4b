"""The batch-latency curve: what it says between, beyond and against what it saw."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.runtime.serving.curve import BatchCurve

FLAT = [(1, 1.0), (2, 1.05), (4, 1.1), (8, 1.2), (16, 1.4), (32, 1.8)]
LINEAR = [(1, 4.0), (2, 8.0), (4, 16.0), (8, 32.0)]


def test_between_points_it_interpolates_and_beyond_it_grows_in_proportion():
    """An unseen size lies between its neighbours; a larger one costs as much a row as the largest."""
    curve = BatchCurve([(1, 2.0), (4, 5.0)])
    assert curve.mean_ms(1) == pytest.approx(2.0)
    assert curve.mean_ms(2) == pytest.approx(3.0)
    assert curve.mean_ms(8) == pytest.approx(10.0)


def test_an_empty_curve_knows_nothing_and_forbids_nothing():
    """Before anything ran, every batch costs nothing and may be as large as it likes."""
    curve = BatchCurve()
    assert (curve.mean_ms(5), curve.bound_ms(5), curve.least_ms(5)) == (0.0, 0.0, 0.0)
    assert curve.enough_rows(32) == 32


@pytest.mark.parametrize(
    ("points", "most", "enough"), [(FLAT, 32, 32), (FLAT, 8, 8), (LINEAR, 32, 1)]
)
def test_a_batch_is_enough_where_rows_stop_getting_cheaper(points, most, enough):
    """A model that gains from batches gets large ones, one that does not gets single rows."""
    assert BatchCurve(points).enough_rows(most) == enough


def test_it_follows_a_model_that_became_slower():
    """After fifty slower batches the mean has moved most of the way, and the bound lies above it."""
    curve = BatchCurve([(1, 1.0)])
    for _ in range(50):
        curve.observe(1, 3.0)
    assert 2.5 < curve.mean_ms(1) <= 3.0
    assert curve.bound_ms(1) >= curve.mean_ms(1)


def test_one_stalled_batch_does_not_make_the_device_look_slow():
    """A single batch a thousand times too long moves the mean by less than a tenth."""
    curve = BatchCurve([(1, 1.0)])
    for _ in range(20):
        curve.observe(1, 1.0)
    curve.observe(1, 1000.0)
    assert curve.mean_ms(1) < 1.1


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0.001, 1e4)), min_size=1, max_size=50))
def test_it_never_says_less_than_nothing(observations):
    """Whatever is observed, times are positive, and the least is not above the bound."""
    curve = BatchCurve(observations)
    for rows in (1, 3, 17, 64, 100):
        assert curve.mean_ms(rows) > 0
        assert curve.bound_ms(rows) >= curve.mean_ms(rows)
    assert 1 <= curve.enough_rows(64) <= 64
