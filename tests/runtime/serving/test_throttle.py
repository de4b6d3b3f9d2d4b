"""The governed rate at the door: what passes, what is refused, and when to come again."""

from __future__ import annotations

import pytest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import DEFAULT_PRIORITY
from edgeconsole.runtime.serving.throttle import Throttle


def passed(throttle, times, priority=DEFAULT_PRIORITY):
    """Return how many requests at these times pass."""
    count = 0
    for now_s in times:
        try:
            throttle.take(priority, now_s)
        except RequestError:
            continue
        count += 1
    return count


@pytest.mark.parametrize("rate_per_s", [1.0, 7.5, 100.0, 5000.0])
def test_no_more_than_the_rate_passes(rate_per_s: float) -> None:
    """Over ten seconds of three times the rate, the rate passes, and a burst."""
    throttle = Throttle(rate_per_s, "hot", 0.0)
    count = round(30 * rate_per_s)
    times = [10.0 * index / count for index in range(count)]
    most = 10.0 * rate_per_s + max(1.0, 0.25 * rate_per_s)
    assert 0.97 * 10.0 * rate_per_s <= passed(throttle, times) <= most + 1e-6
    assert throttle.refused_total == count - passed(Throttle(rate_per_s, "", 0.0), times)


def test_all_pass_below_the_rate() -> None:
    """What comes evenly below the rate is never refused."""
    assert passed(Throttle(100.0, "hot", 0.0), [index / 90.0 for index in range(900)]) == 900


def test_a_refusal_says_when_to_come_again() -> None:
    """It is typed, carries the wait, and one who waits so long passes."""
    throttle = Throttle(2.0, "84.0 °C, limit 90 °C", 0.0)
    throttle.take(DEFAULT_PRIORITY, 0.0)
    with pytest.raises(RequestError, match=r"84\.0 °C") as caught:
        throttle.take(DEFAULT_PRIORITY, 0.1)
    assert caught.value.code is ErrorCode.THROTTLED
    assert caught.value.estimated_wait_ms == pytest.approx(400.0)
    throttle.take(DEFAULT_PRIORITY, 0.1 + 0.4001)


def test_urgent_requests_go_first() -> None:
    """With the bucket empty an urgent request passes, and the others wait for it."""
    throttle = Throttle(4.0, "hot", 0.0)
    throttle.take(DEFAULT_PRIORITY, 0.0)
    with pytest.raises(RequestError):
        throttle.take(DEFAULT_PRIORITY, 0.0)
    throttle.take(8, 0.0)
    with pytest.raises(RequestError) as caught:
        throttle.take(DEFAULT_PRIORITY, 0.0)
    assert caught.value.estimated_wait_ms == pytest.approx(500.0)


def test_another_rate_holds_at_once() -> None:
    """A lower rate does not pass the burst of the higher one."""
    throttle = Throttle(1000.0, "hot", 0.0)
    throttle.set(4.0, "hotter", 0.0)
    assert passed(throttle, [0.0] * 100) == 1
    throttle.set(1000.0, "cool", 0.0)
    assert passed(throttle, [1.0] * 1000) == 250
