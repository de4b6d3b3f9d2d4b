"""The thermal policy at work: what it allows reaches the hands, what changed is told once, orders end."""

from __future__ import annotations

import pytest

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import ForceThermal
from edgeconsole.protocol.telemetry import Quality, Severity
from edgeconsole.protocol.thermal import ThermalAllowance, ThermalState
from edgeconsole.runtime.health.simulated import SENSOR, SimulatedDevice
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_manager import ThermalManager
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.specs import SimulatedHeat


class Hands:
    """Remembers what was allowed, and computes at a set rate."""

    def __init__(self, clock):
        self.clock = clock
        self.rate_per_s = 0.0
        self.allowed = ThermalAllowance()
        self.reasons = []

    def computed_total(self):
        """Return what would have been computed by now."""
        return int(self.clock.now_s * self.rate_per_s)

    def apply(self, allowance, reason):
        """Take an allowance."""
        self.allowed = allowance
        self.reasons.append(reason)

    def throttled_total(self):
        """Return a count."""
        return 7


class Bench:
    """A manager on a clock of its own, with a temperature that a test sets."""

    def __init__(self, *, scale=1.0, **fields):
        self.now_s = 1000.0
        self.temp_c = 50.0
        self.fields = {"passive_c": 90.0, "sensor": "cpu", **fields}
        self.read = []
        self.events = []
        self.hands = Hands(self)
        self.manager = ThermalManager(
            self.reading,
            ThermalLimits(),
            self.hands,
            lambda *event, thermal=None: self.events.append((*event, thermal)),
            time_scale=scale,
            clock=lambda: self.now_s,
        )

    def reading(self, rate_per_s, now_s):
        """Read what the test set."""
        self.read.append((rate_per_s, now_s))
        return ThermalReading(temp_c=self.temp_c, rate_per_s=rate_per_s, **self.fields)

    def go(self, seconds, temp_c=None):
        """Let it tick once a second; another temperature comes after a pause, so that it is no slope."""
        if temp_c is not None:
            self.now_s += 6.0
            self.temp_c = temp_c
        for _ in range(seconds):
            self.now_s += 1.0
            self.manager.tick()


def order(state, for_s=60.0, command_id="command-1"):
    """Return an operator's order."""
    return ForceThermal("1", command_id, "ana", "a test", state, for_s)


def test_what_is_allowed_reaches_the_hands() -> None:
    """Warm defers, hot governs, critical refuses; cool again allows everything."""
    bench = Bench()
    bench.go(10)
    assert bench.hands.allowed == ThermalAllowance()
    bench.go(20, 76.0)
    assert bench.hands.allowed.defer_background
    bench.go(20, 85.0)
    assert bench.hands.allowed.rate_per_s is not None
    bench.go(20, 89.0)
    assert bench.hands.allowed.refuse
    assert bench.hands.reasons[-1] == "89.0 °C, limit 90 °C"
    bench.go(240, 50.0)
    assert bench.hands.allowed == ThermalAllowance()


def test_a_state_is_as_old_as_the_agent_at_most() -> None:
    """A device that was up for hours before its agent has been unknown since the agent's start."""
    bench = Bench(scale=3.0)
    bench.fields["passive_c"] = None
    bench.go(4)
    assert bench.manager.sample().state is ThermalState.UNKNOWN
    assert bench.manager.sample().held_s == pytest.approx(4.0)


def test_each_transition_is_told_once_with_its_conditions() -> None:
    """An event of kind `thermal_changed` has the readings that caused it; a start is none."""
    bench = Bench()
    bench.go(10)
    assert bench.events == []
    bench.go(5, 76.0)
    ((severity, kind, message, moved),) = bench.events
    assert (severity, kind) == (Severity.INFO, "thermal_changed")
    assert "nominal → warm, background work waits" in message
    assert (moved.before, moved.after, moved.cause) == (
        ThermalState.NOMINAL,
        ThermalState.WARM,
        "warm_temperature",
    )
    held = next(each for each in moved.conditions if each.name == "warm_temperature")
    assert (held.met, held.measured, held.needed_s) == (True, 76.0, 3.0)
    bench.go(5, 89.0)
    assert [event[0] for event in bench.events][-1] is Severity.CRITICAL
    assert bench.manager.transitions(1)[0] is bench.events[-1][3]
    assert bench.manager.sample().transitions_total == len(bench.events)


def test_the_sample_says_how_it_stands() -> None:
    """State, since when, sensor, limit with its source, margin, allowance, refused, and no forecast yet."""
    bench = Bench()
    assert bench.manager.sample().reason == "not read yet"
    bench.go(10)
    bench.go(5, 76.0)
    sample = bench.manager.sample()
    assert (sample.state, sample.held_s, sample.sensor) == (ThermalState.WARM, 1.0, "cpu")
    assert (sample.limit_c, sample.limit_source, sample.margin_c) == (90.0, "passive trip", 14.0)
    assert (sample.allowance.step, sample.throttled_total) == (1, 7)
    assert sample.limit_in_s is None
    assert "scored" in sample.forecast_note
    assert not sample.simulated


def test_the_served_rate_is_measured() -> None:
    """The policy gets the computed requests a second, as a mean of some seconds."""
    bench = Bench()
    bench.hands.rate_per_s = 40.0
    bench.go(10)
    assert bench.read[-1][0] == pytest.approx(40.0)
    assert bench.read[0][0] == 0.0


def test_a_warning_is_told_once() -> None:
    """A stuck sensor is one event, however long it is stuck."""
    bench = Bench(load=0.1)
    bench.go(200)
    bench.fields["load"] = 0.9
    bench.go(300)
    warnings = [event for event in bench.events if event[1] == "thermal_warning"]
    assert len(warnings) == 1
    assert "stuck?" in warnings[0][2]
    assert bench.manager.sample().warnings


def test_an_order_holds_until_its_time_is_over() -> None:
    """A forced state is in force at once, shown with its end, and over afterwards."""
    bench = Bench()
    bench.go(10)
    said = bench.manager.force(order(ThermalState.HOT))
    assert said == "hot is forced for 60 s"
    held = bench.manager.sample()
    assert (held.state, held.cause, held.override.left_s) == (ThermalState.HOT, "operator", 60.0)
    assert (held.override.actor, held.override.reason) == ("ana", "a test")
    bench.go(59)
    assert bench.manager.sample().state is ThermalState.HOT
    bench.go(1)
    assert bench.manager.sample().state is ThermalState.NOMINAL
    assert bench.manager.sample().override is None


def test_a_command_that_is_sent_twice_is_carried_out_once() -> None:
    """It says what it did then, tells nothing again, and does not undo what came after it."""
    bench = Bench()
    bench.go(10)
    first = bench.manager.force(order(ThermalState.HOT))
    bench.manager.force(order(None, command_id="command-2"))
    bench.manager.force(order(ThermalState.WARM, command_id="command-3"))
    told = [event[2] for event in bench.events if event[1] == "thermal_forced"]
    ended = "nothing is forced on the thermal policy"
    assert told == [
        "ana forced hot on the thermal policy: a test (hot is forced for 60 s)",
        f"ana ended what is forced on the thermal policy: a test ({ended})",
        "ana forced warm on the thermal policy: a test (warm is forced for 60 s)",
    ]
    count = len(bench.events)
    assert bench.manager.force(order(ThermalState.HOT)) == first
    bench.manager.force(order(None, command_id="command-2"))
    assert bench.manager.sample().state is ThermalState.WARM
    assert len(bench.events) == count


def test_a_refused_command_may_come_again() -> None:
    """What was not carried out is not remembered as done."""
    bench = Bench()
    for _ in range(2):
        with pytest.raises(RequestError, match="at most 3600 s"):
            bench.manager.force(order(ThermalState.WARM, 3601.0))
    assert not bench.events


def test_a_transition_says_who_forced_it() -> None:
    """The way there and the steps while it holds have the actor; the way back and the policy's own have none."""
    bench = Bench()
    bench.go(10)
    bench.manager.force(order(ThermalState.HOT))
    bench.go(60)
    bench.go(10, 84.0)
    moved = [(each.after, each.actor, each.cause) for each in bench.manager.transitions(99)][::-1]
    assert moved[0] == (ThermalState.HOT, "ana", "operator")
    back = next(place for place, each in enumerate(moved) if each[2] == "override_ended")
    assert {each[1] for each in moved[:back]} == {"ana"}
    assert moved[back][0] is ThermalState.NOMINAL
    assert {each[1] for each in moved[back:]} == {""}
    assert moved[-1][2] == "hot_temperature"


def test_an_order_can_be_ended() -> None:
    """An order without a state ends what is forced."""
    bench = Bench()
    bench.go(10)
    bench.manager.force(order(ThermalState.CRITICAL))
    assert bench.hands.allowed.refuse
    said = bench.manager.force(order(None, command_id="command-2"))
    assert said == "nothing is forced on the thermal policy"
    assert bench.manager.sample().state is ThermalState.NOMINAL


def test_a_hotter_order_is_bounded_and_ignored_when_critical() -> None:
    """Nominal and warm for an hour at most; a critical device says that it ignores it."""
    bench = Bench()
    for state in (ThermalState.NOMINAL, ThermalState.WARM):
        with pytest.raises(RequestError, match="at most 3600 s") as caught:
            bench.manager.force(order(state, 3601.0))
        assert caught.value.code is ErrorCode.BAD_PARAMETER
    with pytest.raises(RequestError, match="known"):
        bench.manager.force(order(ThermalState.UNKNOWN))
    bench.manager.force(order(ThermalState.HOT, 86_400.0))
    bench.go(20, 89.0)
    said = bench.manager.force(order(ThermalState.NOMINAL, command_id="command-3"))
    assert "ignores it" in said
    assert bench.manager.sample().state is ThermalState.CRITICAL
    assert bench.manager.sample().override.ignored


def test_a_critical_device_says_when_to_come_again() -> None:
    """The time to wait falls while it cools, and is at least a second."""
    bench = Bench()
    bench.go(20, 89.0)
    assert bench.manager.retry_after_s == 60.0
    bench.go(21, 60.0)
    assert bench.manager.retry_after_s == 40.0


def test_a_simulated_device_is_hot_by_its_own_work() -> None:
    """Its heat follows the rate, its room the wave; all it says is called simulated."""
    spec = SimulatedHeat(wave_c=20.0, wave_s=100.0, joules_each=0.1)
    device = SimulatedDevice(spec)
    first = device.read(0.0, 0.0)
    assert (first.sensor, first.simulated, first.passive_c) == (SENSOR, True, 80.0)
    assert first.temp_c == pytest.approx(25.0 + 2.0 * 4.5)
    busy, idle = SimulatedDevice(spec), SimulatedDevice(spec)
    for second in range(60):
        hot, cool = busy.read(100.0, float(second)), idle.read(0.0, float(second))
    assert hot.temp_c > cool.temp_c + 20.0
    assert (hot.power_w, cool.power_w) == (12.0, 2.0)
    assert device.ambient_c(50.0) == pytest.approx(45.0)
    assert device.ambient_c(100.0) == pytest.approx(25.0)
    for reading in (busy.temperature(), busy.power()):
        assert reading.quality is Quality.SIMULATED
        assert "simulated" in reading.source


def test_a_faster_device_is_told_in_our_seconds() -> None:
    """Ten of its seconds are one of ours: what is held, waited and forecast is shown in ours."""
    bench = Bench(scale=10.0)
    bench.temp_c = 76.0
    for _ in range(60):
        bench.now_s += 0.1
        bench.manager.tick()
    assert bench.manager.sample().state is ThermalState.WARM
    assert bench.manager.sample().held_s == pytest.approx(5.6, abs=0.2)
