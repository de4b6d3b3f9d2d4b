"""How outcomes become a row, and rows a page."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.machine import Machine
from edgeconsole.protocol.failsafe import Transition
from edgeconsole.protocol.inference import AnswerParameters, Rung, ServerFrame, encode_answer
from edgeconsole.protocol.telemetry import DeviceEvent, Severity
from faults.load import End, Load, Outcome, Start
from faults.models import FALLBACK, MODEL, PRIMARY, STANDBY, STATIC
from faults.mutate import mutate
from faults.report import in_time, page
from faults.summary import Row, summarise

MACHINE = Machine("a chip", 2, 4096, "Linux 6", "3.11", "", {}, "abc")


def moved(before, after):
    """Return the event of a move."""
    move = Transition(MODEL, before, after, "breaker_open", 0.0)
    return DeviceEvent("d", "b", 1, 0.0, Severity.WARNING, "rung_changed", "moved", move)


def test_a_row_counts_what_came_since_the_fault_began():
    """Counts, lateness, detection, the first safe answer, flaps and recovery are those of the run."""
    outcomes = [
        Outcome(0.5, 0.51, End.FULL),
        Outcome(1.0, 1.02, End.FULL),
        Outcome(1.1, 1.145, End.DEGRADED, Rung.FALLBACK),
        Outcome(1.2, 1.26, End.REFUSED, code="QUEUE_FULL"),
        Outcome(1.3, 0.0, End.LOST),
        Outcome(3.2, 3.21, End.DEGRADED, Rung.FALLBACK),
        Outcome(4.0, 4.01, End.FULL),
    ]
    events = [
        (0.2, moved(Rung.PRIMARY, Rung.FALLBACK)),
        (1.25, moved(Rung.PRIMARY, Rung.FALLBACK)),
        (1.5, moved(Rung.FALLBACK, Rung.PRIMARY)),
        (1.6, moved(Rung.PRIMARY, Rung.FALLBACK)),
        (1.7, moved(Rung.FALLBACK, Rung.STATIC)),
    ]
    row = summarise("f", outcomes, events, begun_s=1.0, ended_s=3.0, deadline_ms=50.0)
    assert (row.sent, row.full, row.degraded, row.refused, row.lost) == (6, 2, 2, 1, 1)
    assert (row.late, row.in_time, row.flaps) == (1, 4, 1)
    assert row.detection_ms == pytest.approx(250.0)
    assert row.safe_ms == pytest.approx(145.0)
    assert row.recovery_s == pytest.approx(0.21)
    assert row.wrong == ["1 requests lost"]


def answer(request_id, rung, values, **parameters):
    """Return an answer's frame."""
    given = {"rung": rung, "variant": "fp32", "degraded": rung.depth > 1, **parameters}
    frame = ServerFrame(
        id=request_id,
        model_name=STANDBY if rung is Rung.FALLBACK else MODEL,
        model_version="1",
        parameters=AnswerParameters(**given),
    )
    return encode_answer(frame, [("y", np.array([values], np.float32))], binary=True)


def one_request():
    """Return a load with one request that is owed, its id and its payload."""
    load = Load(Start("", "", 1.0, 1.0, 50.0, 0))
    load._request("r", 1)
    return load, load._owed["r"][1][3:]


@pytest.mark.parametrize(
    ("rung", "values", "parameters", "problem"),
    [
        (Rung.PRIMARY, lambda p: p + PRIMARY, {}, ""),
        (Rung.PRIMARY, lambda p: p + FALLBACK, {}, "not its own"),
        (Rung.PRIMARY, lambda p: p * np.nan, {}, "not one"),
        (Rung.PRIMARY, lambda p: p + PRIMARY, {"variant": ""}, "no label"),
        (Rung.PRIMARY, lambda p: p + PRIMARY, {"degraded": True}, "degraded=True"),
        (Rung.FALLBACK, lambda p: p + FALLBACK, {}, ""),
        (Rung.FALLBACK, lambda p: p + FALLBACK, {"degraded": False}, "degraded=False"),
        (Rung.FALLBACK, lambda p: p + PRIMARY, {}, "not its own"),
        (Rung.STATIC, lambda _: np.array(STATIC), {"failsafe": True}, ""),
        (Rung.STATIC, lambda _: np.array(STATIC), {}, "failsafe=False"),
        (Rung.LAST_GOOD, lambda p: p + 7, {"age_ms": 3.0}, ""),
        (Rung.LAST_GOOD, lambda p: p + 7, {}, "without its age"),
    ],
)
def test_a_wrong_label_is_seen(rung, values, parameters, problem):
    """The values tell who answered; what the label says must be that."""
    load, payload = one_request()
    load._take(answer("r", rung, values(payload), **parameters), 1.0)
    (outcome,) = load._outcomes
    assert problem in outcome.problem
    assert bool(problem) == bool(outcome.problem)


def test_a_second_answer_is_seen():
    """Never two answers to one request."""
    load, payload = one_request()
    frame = answer("r", Rung.PRIMARY, payload + PRIMARY)
    load._take(frame, 1.0)
    load._take(frame, 1.1)
    assert [bool(each.problem) for each in load._outcomes] == [False, True]


def test_the_page_says_what_failed_and_what_was_skipped():
    """A fault that this machine cannot do is never in the table as passed; stolen cores are apart."""
    good = Row("good", sent=1000, full=1000, recovery_s=0.0)
    bad = Row("bad", sent=1000, full=990, lost=10, wrong=["10 requests lost"])
    stolen = Row("stolen", sent=10, full=10, late=10, takes_cores=True)
    assert in_time([good, bad, stolen]) == pytest.approx(0.995)
    assert in_time([stolen]) is None
    text = page([good, bad, stolen], [("eio", "no C compiler")], MACHINE, "make faults", 7)
    assert "| eio | skipped: no C compiler |" in text
    assert "- **bad: 10 requests lost.**" in text
    assert "stolen, 0.00%" in text
    assert "99.500% of answers" in text
    rows = [each for each in text.splitlines() if each.startswith("|")]
    assert len({each.count("|") for each in rows}) == 1
    assert "seed 7" in text


def test_mutations_repeat_and_differ():
    """A seed gives the same mutations again; nearly all differ from what they were."""
    base = b'{"model_name": "m", "id": "7", "inputs": []}'
    first = [mutate(random.Random(seed), base, [base]) for seed in range(200)]
    assert first == [mutate(random.Random(seed), base, [base]) for seed in range(200)]
    assert sum(each != base for each in first) > 190
