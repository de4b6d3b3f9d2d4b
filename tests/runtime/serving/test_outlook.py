"""What requests are promised, by a curve and times that a test gives."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.serving.batcher import Pending
from edgeconsole.runtime.serving.outlook import Outlook

NOW_S = 100.0


@pytest.fixture
def outlook():
    """Return the outlook of a model whose batches of 1, 2, 4 rows take 10, 12, 16 ms."""
    made = Outlook()
    for _ in range(50):
        for rows, took_ms in ((1, 10.0), (2, 12.0), (4, 16.0)):
            made.curve.observe(rows, took_ms)
    return made


def pending(left_ms, *, rows=1, waited_ms=0.0):
    """Return a request with so much of its time left."""
    received_s = NOW_S - waited_ms / 1e3
    return Pending(
        inputs=[np.zeros((rows, 1), np.float32)],
        output_names=(),
        priority=5,
        received_s=received_s,
        deadline_s=NOW_S + left_ms / 1e3,
        finish=lambda _: None,
        rows=rows,
        size_bytes=4,
        shapes=(),
    )


def test_the_wait_is_that_of_the_batches_ahead_over_the_workers(outlook):
    """Nobody ahead: until a worker is free. Rows ahead: as many whole batches, and the rest."""
    assert outlook.wait_ms(0, 4, free_in_ms=3.0, workers=1) == 3.0
    assert outlook.wait_ms(0, 4, free_in_ms=-5.0, workers=1) == 0.0
    one = outlook.wait_ms(6, 4, free_in_ms=0.0, workers=1)
    assert one == pytest.approx(16.0 + 12.0, rel=0.15)
    assert outlook.wait_ms(6, 4, free_in_ms=0.0, workers=2) == pytest.approx(one / 2)
    assert outlook.wait_ms(6, 4, free_in_ms=0.0, workers=0) == pytest.approx(one)


def test_what_cannot_be_in_time_is_refused_with_the_estimate(outlook):
    """The promise is wait and service; what is refused knows the wait, what is taken keeps it."""
    taken = pending(200.0)
    outlook.check_waiting(taken, NOW_S, 50.0)
    assert taken.expected_ms == 50.0
    with pytest.raises(RequestError, match=r"40\.0 ms are left") as caught:
        outlook.check_waiting(pending(40.0), NOW_S, 50.0)
    assert caught.value.code is ErrorCode.DEADLINE_UNREACHABLE
    assert caught.value.estimated_wait_ms == 50.0


def test_promises_grow_where_waits_were_longer_than_promised(outlook):
    """After waits of twice the promise, a promise that just fitted is made no longer."""
    outlook.check_waiting(pending(100.0), NOW_S, 50.0)
    for _ in range(100):
        late = pending(100.0, waited_ms=100.0)
        late.expected_ms = 50.0
        outlook.runs(late, NOW_S)
        assert late.expected_ms == 0.0
    with pytest.raises(RequestError):
        outlook.check_waiting(pending(100.0), NOW_S, 50.0)


def test_who_gave_up_for_another_reason_says_nothing_of_waits(outlook):
    """A cancelled request did not wait too long; one whose deadline passed did."""
    for code, still_fits in ((ErrorCode.CANCELLED, True), (ErrorCode.DEADLINE_EXCEEDED, False)):
        for _ in range(100):
            gone = pending(0.0, waited_ms=100.0)
            gone.expected_ms = 50.0
            outlook.given_up(gone, RequestError(code, "gone"), NOW_S)
        try:
            outlook.check_waiting(pending(100.0), NOW_S, 50.0)
        except RequestError:
            assert not still_fits
        else:
            assert still_fits


@pytest.mark.parametrize("waited_ms", [0.0, 50.0])
def test_who_expired_in_a_worker_had_waited_too_long_or_not_at_all(outlook, waited_ms):
    """After a wait, less is promised; without one the model was slow, and no wait is to blame."""
    expired = pending(0.0, waited_ms=100.0)
    expired.began_s = expired.received_s + waited_ms / 1e3
    outlook.given_up(expired, RequestError(ErrorCode.DEADLINE_EXCEEDED, "gone"), NOW_S)
    fits = pending(72.0)
    if waited_ms:
        with pytest.raises(RequestError):
            outlook.check_waiting(fits, NOW_S, 45.0)
    else:
        outlook.check_waiting(fits, NOW_S, 45.0)


def test_an_idle_model_gets_the_benefit_of_the_doubt_after_a_quiet_second(outlook):
    """Just after a batch its times count; a second later nothing is known of them."""
    outlook.runs(pending(100.0), NOW_S)
    with pytest.raises(RequestError):
        outlook.check_idle(pending(5.0), NOW_S)
    later = pending(5.0 + 2000.0)
    outlook.check_idle(later, NOW_S + 2.0)


def test_whose_turn_comes_too_late_is_refused_sooner_when_others_wait(outlook):
    """With others waiting the usual time must be left; alone, after a quiet second, any."""
    tight = pending(5.0)
    assert outlook.too_late(tight, NOW_S, others_wait=False) is None
    error = outlook.too_late(tight, NOW_S, others_wait=True)
    assert error is not None
    assert error.code is ErrorCode.DEADLINE_UNREACHABLE
    assert outlook.too_late(pending(50.0), NOW_S, others_wait=True) is None
