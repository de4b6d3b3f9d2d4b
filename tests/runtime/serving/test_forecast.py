"""The factor on expected waits: learns from waits, forgets bad times, and stays within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.runtime.serving.forecast import WaitForecast

MS = st.floats(0.0, 1e6)


def after(*ratios: float, times: int = 400) -> float:
    """Return the factor after waits that were so many times longer than expected."""
    forecast = WaitForecast()
    for at in range(times):
        forecast.observe(10.0, 10.0 * ratios[at % len(ratios)])
    return forecast.factor(0.0)


def test_waits_that_come_true_need_little_caution() -> None:
    """Exact expectations bring the factor down to its least."""
    assert after(1.0) == pytest.approx(1.1)
    assert after(0.5) == pytest.approx(1.1)


def test_longer_and_more_uneven_waits_need_more() -> None:
    """The factor covers the mean and what most waits are above it."""
    assert after(1.5) == pytest.approx(1.5, abs=0.01)
    assert after(1.0, 2.0) > 2.0
    assert after(9.0) == 3.0


def test_a_bad_time_is_forgotten() -> None:
    """After waits that were far too long, good ones bring the factor back."""
    forecast = WaitForecast()
    for _ in range(100):
        forecast.observe(10.0, 30.0)
    bad = forecast.factor(0.0)
    for _ in range(400):
        forecast.observe(10.0, 10.0)
    assert bad > 2.0
    assert forecast.factor(0.0) == pytest.approx(1.1)


def test_what_was_given_up_counts_only_as_longer() -> None:
    """A request that expired waited at least so long: it never makes the forecast more daring."""
    forecast = WaitForecast()
    before = forecast.factor(0.0)
    forecast.missed(100.0, 50.0)
    assert forecast.factor(0.0) == before
    forecast.missed(50.0, 100.0)
    assert forecast.factor(0.0) > before


def test_short_waits_say_nothing() -> None:
    """Expectations below two milliseconds are noise."""
    forecast = WaitForecast()
    before = forecast.factor(0.0)
    forecast.observe(1.9, 500.0)
    assert forecast.factor(0.0) == before


def test_broken_promises_make_it_careful_for_a_while() -> None:
    """Each trouble adds to the factor; half of that is gone after five seconds."""
    forecast = WaitForecast()
    usual = forecast.factor(0.0)
    forecast.broken(10.0)
    assert forecast.factor(10.0) == pytest.approx(usual + 0.3)
    assert forecast.factor(15.0) == pytest.approx(usual + 0.15)
    assert forecast.factor(60.0) == pytest.approx(usual, abs=0.001)
    forecast.broken(15.0)
    assert forecast.factor(15.0) == pytest.approx(usual + 0.45)


def test_what_breaks_at_once_is_one_trouble() -> None:
    """A stall breaks the promises to all who wait; it counts once, and twice if it goes on."""
    forecast = WaitForecast()
    for _ in range(50):
        forecast.broken(10.0)
    once = forecast.factor(10.0)
    forecast.broken(10.2)
    assert once == pytest.approx(1.25 + 0.3)
    assert forecast.factor(10.2) > once


@given(st.lists(st.tuples(st.sampled_from(["observe", "missed", "broken"]), MS, MS), max_size=60))
def test_the_factor_stays_within_its_bounds(happened: list[tuple[str, float, float]]) -> None:
    """Whatever happens, it is 1.1 to 3."""
    forecast = WaitForecast()
    now_s = 0.0
    for what, expected_ms, waited_ms in happened:
        now_s += waited_ms / 1e3
        if what == "broken":
            forecast.broken(now_s)
        else:
            getattr(forecast, what)(expected_ms, waited_ms)
        assert 1.1 <= forecast.factor(now_s) <= 3.0
