"""Closed loop: random devices whose heat is what the policy lets them do."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_plant import Plant, PlantSpec
from edgeconsole.runtime.health.thermal_policy import decide
from edgeconsole.runtime.health.thermal_rate import FLOOR_SHARE, SET_C
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.runtime.health.thermal_state import ThermalPolicyState

PLANTS = 100
MINUTES = 10
FASTEST_C_PER_S = 6.2
"""The steepest rise in 307 recorded runs was 6.14 °C/s."""


@dataclass
class Device:
    """A random device, its limit, what is asked of it, and how well its sensor reads."""

    spec: PlantSpec
    limit_c: float
    demand_per_s: float
    step_c: float
    noise_c: float
    random: random.Random

    def read_c(self, plant: Plant) -> float:
        """Read the die as its sensor would."""
        seen_c = plant.die_c + self.random.gauss(0.0, self.noise_c)
        return round(seen_c / self.step_c) * self.step_c


@dataclass
class Run:
    """What came of a run."""

    over_c: float
    transitions: int
    rates: list[float]
    plant: Plant
    state: ThermalPolicyState


def device(seed: int) -> Device:
    """Return a random device of a kind that could exist."""
    chance = random.Random(seed)
    while True:
        ambient_c, limit_c = chance.uniform(10.0, 40.0), chance.uniform(70.0, 100.0)
        idle_c = chance.uniform(4.0, 25.0)
        full_c = limit_c - ambient_c + chance.uniform(-15.0, 70.0)
        die, die_s = chance.uniform(0.15, 0.5), chance.uniform(2.0, 10.0)
        fair = limit_c - ambient_c - idle_c >= 25.0 and full_c > idle_c + 10.0
        if not fair or die * (full_c - idle_c) / die_s > FASTEST_C_PER_S:
            continue
        most_w, demand = chance.uniform(4.0, 40.0), 10.0 ** chance.uniform(0.7, 3.5)
        k_per_w = full_c / most_w
        idle_w = idle_c / k_per_w
        spec = PlantSpec(
            ambient_c=ambient_c,
            die_k_per_w=die * k_per_w,
            die_tau_s=die_s,
            sink_k_per_w=(1.0 - die) * k_per_w,
            sink_tau_s=chance.uniform(60.0, 300.0),
            idle_w=idle_w,
            joules_each=(most_w - idle_w) / demand,
            most_w=most_w,
        )
        step_c, noise_c = chance.choice((0.1, 0.5, 1.0)), chance.uniform(0.0, 0.4)
        return Device(spec, limit_c, demand, step_c, noise_c, chance)


def run(given: Device, seconds: int) -> Run:
    """Ask a device for its demand, constantly."""
    spec, plant, state = given.spec, Plant.idle(given.spec), ThermalPolicyState()
    rate, over_c, moves, rates = 0.0, float("-inf"), 0, []
    for second in range(seconds):
        reading = ThermalReading(
            temp_c=given.read_c(plant), passive_c=given.limit_c, rate_per_s=rate
        )
        decision = decide(state, reading, float(second), ThermalLimits())
        moves += decision.state.state is not state.state and second > 0
        state, allowed = decision.state, decision.allowance
        rate = given.demand_per_s
        if allowed.rate_per_s is not None:
            rate = min(rate, allowed.rate_per_s)
        if allowed.refuse:
            rate = 0.0
        plant = plant.after(spec, spec.power_w(rate), 1.0)
        over_c = max(over_c, plant.die_c - given.limit_c)
        rates.append(rate)
    return Run(over_c, moves, rates, plant, state)


def best_constant_rate(given: Device) -> float:
    """Search for the highest constant rate at which the device stays below its limit for ever."""
    low, high = 0.0, given.demand_per_s
    if given.spec.steady_c(high) <= given.limit_c:
        return high
    for _ in range(40):
        middle = (low + high) / 2.0
        if given.spec.steady_c(middle) <= given.limit_c:
            low = middle
        else:
            high = middle
    return low


def cooling_s(given: Device, ended: Run) -> float:
    """Stop all work; return how long after cooling below 20 °C of margin it is nominal."""
    plant, state, cool_at = ended.plant, ended.state, None
    for second in range(1200):
        now_s = len(ended.rates) + float(second)
        reading = ThermalReading(
            temp_c=given.read_c(plant), passive_c=given.limit_c, rate_per_s=0.0
        )
        state = decide(state, reading, now_s, ThermalLimits()).state
        if cool_at is None and plant.die_c < given.limit_c - 20.5:
            cool_at = now_s
        if state.state is ThermalState.NOMINAL:
            return now_s - (now_s if cool_at is None else cool_at)
        plant = plant.after(given.spec, given.spec.power_w(0.0), 1.0)
    return float("inf")


@pytest.mark.parametrize("part", range(4))
def test_random_devices_keep_their_limit_calmly(part: int) -> None:
    """At constant load: at most 2 °C over the limit, 6 transitions in 10 min, 80 % of the best rate.

    That is for devices that the floor of the rate can hold; the others may refuse, and must not
    get hotter either. After the load, nominal within 120 s of having cooled.
    """
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    for number in range(part, PLANTS, 4):
        given = device(seed + number)
        ended = run(given, MINUTES * 60)
        what = f"seed {seed + number}: {given.spec}, limit {given.limit_c:.1f}"
        floor = max(FLOOR_SHARE * given.demand_per_s, 1.0)
        assert ended.over_c <= 2.0, what
        assert ended.transitions <= 6, what
        assert cooling_s(given, ended) <= 120.0, what
        if given.spec.steady_c(floor) <= given.limit_c - SET_C:
            half = ended.rates[len(ended.rates) // 2 :]
            assert sum(half) / len(half) >= 0.8 * best_constant_rate(given), what


def test_a_device_that_idles_near_its_limit_refuses_rather_than_burns() -> None:
    """Where even the lowest rate is too hot, it becomes critical, refuses, and stays below its limit."""
    spec = PlantSpec(ambient_c=45.0, idle_w=4.0, joules_each=0.03, most_w=16.0)
    given = Device(spec, 75.0, 400.0, 0.1, 0.0, random.Random(1))
    ended = run(given, 600)
    assert spec.steady_c(100.0) > given.limit_c
    assert 0.0 in ended.rates
    assert ended.over_c <= 2.0
    assert ended.transitions <= 10


def test_the_plant_is_what_it_says() -> None:
    """At a constant rate the die ends at its steady temperature, with 63 % of the way in one constant."""
    spec = PlantSpec(sink_tau_s=1e9)
    idle = Plant.idle(spec)
    after = idle.after(spec, 12.0, spec.die_tau_s)
    risen = (after.die_c - idle.die_c) / ((12.0 - spec.idle_w) * spec.die_k_per_w)
    assert risen == pytest.approx(0.632, abs=0.01)
    spec = PlantSpec()
    ended = Plant.idle(spec).after(spec, spec.power_w(700.0), 3000.0)
    assert ended.die_c == pytest.approx(spec.steady_c(700.0), abs=0.1)
    assert Plant.idle(spec).after(spec, spec.idle_w, 500.0).die_c == pytest.approx(
        spec.steady_c(0.0)
    )
