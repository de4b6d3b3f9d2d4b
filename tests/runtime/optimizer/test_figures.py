"""Figures in sentences: enough digits to tell a figure from its bound, and no more."""

from __future__ import annotations

import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.protocol.optimization import Objective
from edgeconsole.runtime.optimizer.figures import (
    apart,
    drop_number,
    figure,
    number,
    round_up,
    round_up_short,
    size,
    speed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.04712, "0.0471"), (5.0, "5"), (2.126, "2.13"), (999.6, "1000"), (-1.5, "−1.5")],
)
def test_a_number_has_about_three_digits(value, text):
    """Trailing zeros and exponents never show; a minus is one."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9, "9 B"), (38_900, "38 KiB"), (1.5 * 2**20, "1.5 MiB"), (2**31, "2 GiB")]
)
def test_a_size_is_in_the_unit_that_fits(value, text):
    """Binary units, as in all of the console."""
    assert size(value) == text


def test_no_drop_is_minus_nothing():
    """What rounds to nothing has no sign; a gain has one."""
    assert [drop_number(each) for each in (-0.01, 0.0, -0.3)] == ["0.0", "0.0", "−0.3"]


def test_a_speed_near_one_shows_whether_anything_is_gained():
    """0.97 is a loss, and must not read as 1.0."""
    assert [speed(each) for each in (0.97, 1.04, 5.23)] == ["0.97 ×", "1.04 ×", "5.2 ×"]


@given(st.floats(0.001, 1e6), st.floats(1e-4, 1.0))
def test_unequal_figures_read_unequal(value, more):
    """A figure just above its bound never reads as if it met it."""
    above = value * (1 + more)
    one, other = apart(partial(figure, Objective.P99), above, value, 3)
    assert one != other


@given(st.floats(1e-6, 1e9), st.integers(0, 3))
def test_rounding_up_never_forbids_what_it_is_for(value, digits):
    """The rounded bound lets the figure pass, and is not far above it."""
    assert value <= round_up(value, digits) <= value + 1.01 * 10.0**-digits + 1e-6 * value
    assert value <= round_up_short(value) <= value * 1.02 + 1e-300
    assert math.isclose(float(f"{round_up(value, 1):.1f}"), round_up(value, 1))
