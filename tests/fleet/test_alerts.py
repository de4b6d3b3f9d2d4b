"""Alerts and incidents as pure functions of what devices say and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from edgeconsole.fleet.alerts import RULES, AlertEvaluator, AlertKind, Change
from edgeconsole.fleet.incidents import GATHER_S, JOIN_S, Incidents
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.failsafe import RouteSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import BacklogSample, Quality, Reading, Severity
from edgeconsole.specs import AlertConfig, FleetDevice, FleetSpec

Make = Callable[..., Any]
SPEC = FleetSpec(devices=(FleetDevice("a", "ws://x", site="lyon"),))
ROOMY = BacklogSample(1 << 20, 16 << 20, disk_free_bytes=50, disk_total_bytes=100)


class Bench:
    """A device that is looked at every second."""

    def __init__(self, clock: Any, make_sample: Make) -> None:
        self.clock = clock
        self.store = FleetStore(SPEC, clock)
        self.evaluator = AlertEvaluator(AlertConfig())
        self._make_sample = make_sample
        self._seq = 0

    def second(self, *, silent: bool = False, **changes: Any) -> list[Change]:
        """Let a second pass; returns what began or ended."""
        self.clock.now += 1
        if not silent:
            self._seq += 1
            self.store.add_sample("a", self._make_sample(self._seq, **changes))
        view = self.store.device("a")
        assert view is not None
        return self.evaluator.look(view, self.clock.now)

    def until(self, kind: AlertKind, seconds: int, **changes: Any) -> int | None:
        """Return after how many seconds an alert began or ended."""
        for second in range(1, seconds + 1):
            if any(change.kind is kind for change in self.second(**changes)):
                return second
        return None


@pytest.fixture
def bench(clock: Any, make_sample: Make) -> Bench:
    """Return a device that was never heard of."""
    return Bench(clock, make_sample)


HOT = {"temp_c": Reading(95.0, "°C", "zone", Quality.MEASURED)}
FULL = {"backlog": BacklogSample(15 << 20, 16 << 20, disk_free_bytes=50, disk_total_bytes=100)}
NO_DISK = {"backlog": BacklogSample(1, 16 << 20, disk_free_bytes=1, disk_total_bytes=100)}
REFUSED = {"backlog": BacklogSample(1, 16 << 20, problem="database or disk is full")}
SLOWED = {"routes": (RouteSample("digits", Rung.SHED, 1.0, cause="warm"),)}


@pytest.mark.parametrize(
    ("kind", "bad", "detail"),
    [
        (AlertKind.HOT, HOT, "95 °C, limit 90 °C"),
        (AlertKind.THROTTLED, SLOWED, "digits is on shed, because it is warm"),
        (AlertKind.DISK, NO_DISK, "1.0% of the disk is free, limit 5.0%"),
        (AlertKind.BUFFER, FULL, "the backlog is 94% full, limit 80%"),
        (AlertKind.BUFFER, REFUSED, "telemetry is not kept: database or disk is full"),
    ],
    ids=["hot", "throttled", "disk", "buffer", "not kept"],
)
def test_an_alert_begins_after_its_hold_and_ends_after_its_rest(
    bench: Bench, kind: AlertKind, bad: dict[str, Any], detail: str
) -> None:
    """Not before the condition held, not before it was gone for long enough, and once each."""
    rule = RULES[kind]
    assert bench.until(kind, 30, backlog=ROOMY) is None
    assert bench.until(kind, int(rule.hold_s), **bad) is None
    assert bench.until(kind, 3, backlog=ROOMY) is None  # It was gone for a moment: begin again.
    assert bench.until(kind, int(rule.hold_s), **bad) is None
    (began,) = bench.second(**bad)
    assert (began.kind, began.firing, began.detail, began.site) == (kind, True, detail, "lyon")
    assert bench.until(kind, 200, **bad) is None
    assert bench.until(kind, int(rule.clear_s), backlog=ROOMY) is None
    (over,) = bench.second(backlog=ROOMY)
    assert (over.kind, over.firing) == (kind, False)


def test_silence_is_one_alert_and_says_nothing_of_the_rest(bench: Bench) -> None:
    """A hot device that falls silent stays hot in the book, and is offline beside that."""
    assert bench.until(AlertKind.HOT, 60, **HOT) == 11
    began = bench.until(AlertKind.OFFLINE, 60, silent=True)
    assert began == SPEC.gone_after_s + RULES[AlertKind.OFFLINE].hold_s
    assert not any(bench.second(silent=True) for _ in range(300))
    assert bench.until(AlertKind.OFFLINE, 60, **HOT) == 6
    assert bench.until(AlertKind.HOT, 300, backlog=ROOMY) == 61


def test_a_device_that_was_never_there_is_no_alert(bench: Bench) -> None:
    """A fleet file may name what is not built yet."""
    assert not any(bench.second(silent=True) for _ in range(300))


def test_shares_are_of_the_last_minute(bench: Bench, make_model: Make) -> None:
    """Old failures do not count for ever, few requests do not count, a restart begins anew."""
    requests = failed = 0

    def second(more: int, bad: int, **changes: Any) -> list[Change]:
        nonlocal requests, failed
        requests, failed = requests + more, failed + bad
        model = make_model(
            requests_total=requests, failed_total=failed, answered_total=requests - failed
        )
        return bench.second(models=(model,), **changes)

    assert not any(second(10, 0) for _ in range(120))
    began = next(number for number in range(1, 200) if second(10, 5))
    assert 30 < began < 40
    over = next(number for number in range(1, 300) if second(10, 0))
    assert 60 < over < 125
    assert not any(second(0, 0) for _ in range(120))
    assert not any(second(0, 1) for _ in range(9))  # Nine requests are no evidence.
    requests = failed = 0
    assert not any(second(10, 0, boot_id="boot-2") for _ in range(120))


def test_degraded_answers_are_a_share_of_all_answers(bench: Bench, make_model: Make) -> None:
    """What a lower rung answered counts against what was answered at all."""
    found: list[Change] = []
    for number in range(1, 100):
        route = RouteSample("digits", Rung.FALLBACK, 1.0, answers={"fallback": number * 5})
        model = make_model(answered_total=number * 5, requests_total=number * 10)
        found += bench.second(models=(model,), routes=(route,))
    assert [(change.kind, change.firing) for change in found] == [(AlertKind.DEGRADED, True)]
    assert "50.0%" in found[0].detail


def test_a_late_p99_is_an_alert(bench: Bench, make_model: Make) -> None:
    """Above the deadline for half a minute; without traffic nothing is known."""
    assert bench.until(AlertKind.LATE, 60, models=(make_model(p99_ms=49.0),)) is None
    assert bench.until(AlertKind.LATE, 60, models=(make_model(p99_ms=60.0),)) == 31
    assert bench.until(AlertKind.LATE, 300, models=(make_model(),)) is None
    assert bench.until(AlertKind.LATE, 300, models=(make_model(p99_ms=10.0),)) == 61


def test_what_an_earlier_console_began_goes_on(bench: Bench) -> None:
    """It is not told a second time, and ends when the device is well."""
    bench.evaluator.restore([("a", AlertKind.HOT)])
    assert bench.until(AlertKind.HOT, 100, **HOT) is None
    assert bench.until(AlertKind.HOT, 100, backlog=ROOMY) == 61


def test_whatever_comes_changes_alternate(bench: Bench) -> None:
    """Over random hours each kind begins, ends, begins …, and never twice in a row."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    firing: dict[AlertKind, bool] = {}
    bad: dict[str, Any] = {}
    silent = False
    for _ in range(3000):
        if chance.random() < 0.03:
            bad = chance.choice([{}, HOT, FULL, NO_DISK, SLOWED])
            silent = chance.random() < 0.3
        for change in bench.second(silent=silent, **bad):
            assert change.firing is not firing.get(change.kind, False)
            firing[change.kind] = change.firing
    assert len(firing) >= 3


def change(device: str, *, firing: bool = True, site: str = "lyon") -> Change:
    """Return a change of a device's temperature."""
    return Change(device, site, AlertKind.HOT, Severity.CRITICAL, firing, f"{device} is hot")


def test_devices_that_fail_together_are_one_incident() -> None:
    """Told once after they had time to show, and once when the last is well."""
    incidents = Incidents()
    for second in range(12):
        incidents.take([change(f"d-{second:02}")], float(second), 5.0 + second)
        told = incidents.due(float(second))
        assert [len(each.devices) for each in told] == ([11] if second == GATHER_S else [])
    for second in range(12):
        incidents.take([change(f"d-{second:02}", firing=False)], 40.0 + second, 45.0)
    (over,) = incidents.due(60.0)
    assert (over.over, len(over.devices), over.since_unix_s) == (True, 12, 5.0)
    assert over.text == "hot: 12 devices at lyon: d-00, d-01, d-02, d-03, d-04 …: is over"
    assert incidents.due(1e9) == []


def test_one_device_is_told_by_name_and_what_passes_is_not_told() -> None:
    """An incident that was over before anybody was told was none."""
    incidents = Incidents()
    incidents.take([change("a")], 0.0, 0.0)
    (said,) = incidents.due(GATHER_S)
    assert (said.text, said.over) == ("hot: a: a is hot", False)
    incidents.take([change("b", site="porto")], JOIN_S + 1.0, 0.0)
    incidents.take([change("b", firing=False)], JOIN_S + 2.0, 0.0)
    assert incidents.due(JOIN_S + 20.0) == []


def test_later_and_other_alerts_are_other_incidents() -> None:
    """A minute after the latest, or of another kind."""
    incidents = Incidents()
    first = change("a")
    second = change("b")
    other = Change("a", "lyon", AlertKind.DISK, Severity.WARNING, True, "full")
    late = change("c")
    assert incidents.take([first, other], 0.0, 0.0) == {first: 1, other: 2}
    assert incidents.take([second], JOIN_S, 0.0) == {second: 1}
    assert incidents.take([late], 2 * JOIN_S + 1, 0.0) == {late: 3}
