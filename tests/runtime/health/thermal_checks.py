"""What must hold of the thermal policy. Each check takes its modules, so that mutants can be checked."""

from __future__ import annotations

import dataclasses
import math

from edgeconsole.protocol.thermal import ThermalState as S

LIMIT_C = 90.0


def limits(m, **changes):
    """Return limits with round numbers."""
    return m.limits.ThermalLimits(**changes)


def reading(m, temp_c=None, **fields):
    """Return a reading of a device whose limit is 90 °C."""
    return m.reading.ThermalReading(temp_c=temp_c, **{"passive_c": LIMIT_C, **fields})


def walk(m, *steps, state=None, bounds=None, forced=None):
    """Feed readings at given seconds; returns the last decision."""
    state = state or m.state.ThermalPolicyState()
    bounds = bounds or limits(m)
    for now_s, temp_c, *more in steps:
        fields = more[0] if more else {}
        decision = m.policy.decide(state, reading(m, temp_c, **fields), now_s, bounds, forced)
        state = decision.state
    return decision


def stay(temp_c, start_s, end_s, **fields):
    """Return a reading every second from start to end, the end included."""
    count = round(end_s - start_s)
    return [(start_s + second, temp_c, fields) for second in range(count + 1)]


def at(m, temp_c, seconds=20.0, **fields):
    """Return the decision after some time at one temperature."""
    return walk(m, *stay(temp_c, 0.0, seconds, **fields))


def name(decision):
    """Return state and cause."""
    return decision.state.state, decision.state.cause


def met(decision, wanted):
    """Return one condition by its name."""
    return next(each for each in decision.conditions if each.name == wanted)


def check_a_cool_device_may_do_everything(m):
    """Far below the limit it is nominal, and the allowance is the default."""
    decision = at(m, 40.0)
    assert name(decision) == (S.NOMINAL, "sensor_found")
    assert decision.allowance == type(decision.allowance)()
    assert not any(each.met for each in decision.conditions if not each.name.startswith("cool"))


def check_states_begin_at_their_margins(m):
    """WARM at 15 below, HOT at 7 below, CRITICAL at 2 below the limit; a tenth below that, not yet."""
    for margin_c, state, before in (
        (15.0, S.WARM, S.NOMINAL),
        (7.0, S.HOT, S.WARM),
        (2.0, S.CRITICAL, S.HOT),
    ):
        assert at(m, LIMIT_C - margin_c).state.state is state
        assert at(m, LIMIT_C - margin_c - 0.1).state.state is before


def check_a_state_is_confirmed(m):
    """WARM after 3 s, HOT after 2 s, CRITICAL with a second reading; earlier, or interrupted, not."""
    cold = stay(60.0, 0.0, 20.0)
    for temp_c, state, needed_s in ((75.0, S.WARM, 3), (83.0, S.HOT, 2), (88.0, S.CRITICAL, 1)):
        # After a gap longer than the slope's window the jump says nothing about heating.
        start_s = 27.0
        assert walk(m, *cold, *stay(temp_c, start_s, start_s + needed_s)).state.state is state
        early = walk(m, *cold, *stay(temp_c, start_s, start_s + needed_s - 1)).state.state
        assert early.depth < state.depth
    spike = walk(m, *cold, (27.0, 88.0), (28.0, 60.0), (29.0, 88.0))
    assert spike.state.state is S.NOMINAL


def check_each_limit_counts_and_the_lowest_wins(m):
    """Passive trip, critical trip less 10, the vendor's and the configured one: the lowest."""
    of = lambda bounds=None, **fields: m.limits.limit_of(  # noqa: E731
        m.reading.ThermalReading(temp_c=50.0, **fields), bounds or limits(m)
    )
    assert of(passive_c=85.0, critical_c=100.0) == (85.0, "passive trip")
    assert of(passive_c=95.0, critical_c=100.0) == (90.0, "critical trip − 10 °C")
    assert of(vendor_c=80.0, passive_c=85.0) == (80.0, "vendor's limit")
    assert of(limits(m, configured_c=70.0), passive_c=85.0) == (70.0, "device.toml")
    assert of()[0] is None


def check_placeholder_trips_are_not_trusted(m):
    """−273, 0, 45, 127 and 65261 °C are no limits; 50 and 125 are."""
    for trip_c in (-273.15, 0.0, 45.0, 127.0, 65261.85, math.nan):
        found, _ = m.limits.limit_of(m.reading.ThermalReading(passive_c=trip_c), limits(m))
        assert found is None
    for trip_c in (50.0, 125.0):
        found, _ = m.limits.limit_of(m.reading.ThermalReading(passive_c=trip_c), limits(m))
        assert found == trip_c


def check_without_a_limit_it_is_unknown_and_free(m):
    """A temperature without a limit is unknown, says why, and holds nothing back."""
    decision = walk(m, *stay(99.0, 0.0, 20.0, passive_c=None))
    assert decision.state.state is S.UNKNOWN
    assert "no trip points" in decision.state.reason
    assert decision.allowance.rate_per_s is None


def check_without_a_sensor_it_is_unknown(m):
    """No sensor since the start is unknown with the sensor's reason, not hot; a cap may be configured."""
    decision = walk(m, *stay(None, 0.0, 60.0, reason="no thermal zone"))
    assert (decision.state.state, decision.state.reason) == (S.UNKNOWN, "no thermal zone")
    assert decision.allowance.rate_per_s is None
    capped = walk(m, (0.0, None), bounds=limits(m, unknown_rate_per_s=5.0))
    assert capped.allowance.rate_per_s == 5.0


def check_implausible_temperatures_are_no_readings(m):
    """−256, 200 and NaN °C are as if the sensor were not there."""
    for temp_c in (-256.0, 200.0, math.nan, math.inf):
        assert at(m, temp_c).state.state is S.UNKNOWN
    assert at(m, -40.0).state.state is S.NOMINAL
    assert at(m, 125.0).state.state is S.CRITICAL


def check_a_lost_sensor_is_hot_within_eleven_seconds(m):
    """A sensor that was there and is not for more than 10 s counts as hot, with half of the rate."""
    cold = stay(50.0, 0.0, 20.0, rate_per_s=100.0)
    gone = {"rate_per_s": 100.0, "reason": "it vanished"}
    assert walk(m, *cold, *stay(None, 21.0, 30.0, **gone)).state.state is S.NOMINAL
    decision = walk(m, *cold, *stay(None, 21.0, 31.0, **gone))
    assert name(decision) == (S.HOT, "sensor_lost")
    assert "it vanished" in decision.state.reason
    assert 45.0 < decision.allowance.rate_per_s <= 50.0
    bounds = limits(m, power_budget_w=10.0)
    drawn = {**gone, "power_w": 5.0}
    decision = walk(m, *cold, *stay(None, 21.0, 31.0, **drawn), bounds=bounds)
    assert decision.allowance.rate_per_s <= 50.0


def check_a_found_sensor_must_read_five_times(m):
    """Five good reads in a row end the loss; then cooling counts from there."""
    lost = walk(m, *stay(50.0, 0.0, 20.0), *stay(None, 21.0, 40.0)).state
    assert walk(m, *stay(50.0, 41.0, 44.0), state=lost).state.sensor.lost
    found = walk(m, *stay(50.0, 41.0, 45.0), state=lost)
    assert not found.state.sensor.lost
    assert walk(m, *stay(50.0, 46.0, 74.0), state=found.state).state.state is S.HOT
    assert walk(m, *stay(50.0, 46.0, 75.0), state=found.state).state.state is S.WARM
    again = walk(m, *stay(50.0, 41.0, 43.0), (44.0, None), *stay(50.0, 45.0, 48.0), state=lost)
    assert again.state.sensor.lost


def check_a_missed_reading_changes_nothing(m):
    """One failed read neither confirms a state nor begins cooling, and keeps the limit."""
    hot = at(m, 84.0).state
    decision = walk(m, (21.0, None, {"passive_c": None}), state=hot)
    assert (decision.state.state, decision.state.limit_c) == (S.HOT, LIMIT_C)
    one = walk(m, *stay(60.0, 0.0, 20.0), (27.0, 88.0), (28.0, None))
    assert one.state.state is S.NOMINAL
    assert walk(m, (29.0, 88.0), state=one.state).state.state is S.CRITICAL


def check_it_cools_one_state_at_a_time(m):
    """CRITICAL is left after 60 s below 12 °C of margin, HOT after 30 s, WARM after 30 s below 20."""
    critical = at(m, 89.0).state
    assert walk(m, *stay(60.0, 21.0, 80.0), state=critical).state.state is S.CRITICAL
    hot = walk(m, *stay(60.0, 21.0, 81.0), state=critical)
    assert name(hot) == (S.HOT, "cooled")
    assert walk(m, *stay(60.0, 82.0, 110.0), state=hot.state).state.state is S.HOT
    warm = walk(m, *stay(60.0, 82.0, 111.0), state=hot.state)
    assert warm.state.state is S.WARM
    assert walk(m, *stay(60.0, 112.0, 140.0), state=warm.state).state.state is S.WARM
    assert walk(m, *stay(60.0, 112.0, 141.0), state=warm.state).state.state is S.NOMINAL


def check_a_gap_lies_between_entering_and_leaving(m):
    """At the margins of 12 and 20 °C states stay; a tenth below they are left."""
    for start_c, stays_c, leaves_c, state in (
        (84.0, 78.0, 77.9, S.HOT),
        (76.0, 70.0, 69.9, S.WARM),
        (89.0, 78.0, 77.9, S.CRITICAL),
    ):
        begun = at(m, start_c).state
        assert begun.state is state
        assert walk(m, *stay(stays_c, 21.0, 200.0), state=begun).state.state is state
        assert walk(m, *stay(leaves_c, 21.0, 200.0), state=begun).state.state is not state


def check_heating_again_soon_needs_longer_cooling(m):
    """Hot again within two minutes of a move down doubles the time to cool; later it does not."""
    hot = at(m, 84.0).state
    warm = walk(m, *stay(71.0, 21.0, 60.0), state=hot).state
    assert warm.state is S.WARM
    again = walk(m, *stay(84.0, 61.0, 70.0), state=warm).state
    assert (again.state, again.setbacks) == (S.HOT, 1)
    assert walk(m, *stay(60.0, 71.0, 125.0), state=again).state.state is S.HOT
    assert walk(m, *stay(60.0, 71.0, 135.0), state=again).state.state is S.WARM
    later = walk(m, *stay(71.0, 61.0, 200.0), *stay(84.0, 201.0, 210.0), state=warm).state
    assert (later.state, later.setbacks) == (S.HOT, 0)


def check_fast_heating_widens_the_margins(m):
    """At 2 °C/s HOT begins 4 °C earlier (2.5 s of what is above 0.4 °C/s); CRITICAL at most 3 °C."""
    rising = [(float(second), 55.0 + 2.0 * second) for second in range(13)]
    decision = walk(m, *rising)
    condition = met(decision, "hot_temperature")
    assert abs(condition.threshold - (LIMIT_C - 7.0 - 4.0)) < 1e-6
    assert abs(met(decision, "critical_temperature").threshold - (LIMIT_C - 5.0)) < 1e-6
    assert decision.state.state is S.WARM
    assert walk(m, (13.0, 81.0), (14.0, 83.0), state=decision.state).state.state is S.HOT
    slow = walk(m, *((float(second), 55.0 + 0.4 * second) for second in range(13)))
    assert abs(met(slow, "hot_temperature").threshold - (LIMIT_C - 7.0)) < 1e-6
    steep = walk(m, *((float(second), 20.0 + 8.0 * second) for second in range(8)))
    assert abs(met(steep, "hot_temperature").threshold - (LIMIT_C - 7.0 - 15.0)) < 1e-6


def check_the_kernels_throttling_is_noticed(m):
    """A counter that moves, or the firmware's bit, is HOT at once; a counter that stands is nothing."""
    cold = stay(50.0, 0.0, 20.0, throttle_count=7)
    assert walk(m, *cold).state.state is S.NOMINAL
    moved = walk(m, *cold, (21.0, 50.0, {"throttle_count": 8}))
    assert name(moved) == (S.HOT, "throttled")
    assert walk(m, *cold, (21.0, 50.0, {"throttle_count": 3})).state.state is S.NOMINAL
    assert name(walk(m, (0.0, 50.0, {"throttled": True}))) == (S.HOT, "throttled")
    blind = [*stay(None, 0.0, 9.0, rate_per_s=100.0)]
    blind += stay(None, 10.0, 12.0, rate_per_s=100.0, throttled=True)
    assert walk(m, *blind).allowance.rate_per_s <= 50.0
    still = walk(m, *stay(50.0, 22.0, 55.0, throttle_count=8), state=moved.state)
    assert still.state.state is S.HOT
    over = walk(m, *stay(50.0, 22.0, 56.0, throttle_count=8), state=moved.state)
    assert over.state.state is S.WARM


def check_under_voltage_is_hot(m):
    """While the supply is too low the device is hot, and not cooling."""
    assert name(at(m, 50.0, 0.0, under_voltage=True)) == (S.HOT, "under_voltage")
    assert at(m, 50.0, 200.0, under_voltage=True).state.state is S.HOT


def check_a_power_budget_is_kept(m):
    """Above 90 % of the budget for 10 s it is warm, above all of it for 5 s hot; without one, neither."""
    bounds = limits(m, power_budget_w=10.0)
    go = lambda watts, end_s, b=bounds: walk(  # noqa: E731
        m, *stay(50.0, 0.0, end_s, power_w=watts), bounds=b
    )
    assert go(9.0, 100.0).state.state is S.NOMINAL
    assert go(9.1, 9.0).state.state is S.NOMINAL
    assert name(go(9.1, 10.0)) == (S.WARM, "warm_power")
    assert go(10.1, 4.0).state.state is S.NOMINAL
    assert name(go(10.1, 5.0)) == (S.HOT, "hot_power")
    assert go(10.0, 100.0).state.state is S.WARM
    assert go(99.0, 100.0, limits(m)).state.state is S.NOMINAL
    assert go(math.nan, 100.0).state.state is S.NOMINAL


def check_power_must_fall_before_it_cools(m):
    """HOT is left below 80 % of the budget, WARM below 70 %."""
    bounds = limits(m, power_budget_w=10.0)
    hot = walk(m, *stay(50.0, 0.0, 6.0, power_w=11.0), bounds=bounds).state

    def go(watts, state, start_s):
        steps = stay(50.0, start_s, start_s + 32.0, power_w=watts)
        return walk(m, *steps, state=state, bounds=bounds).state

    assert go(8.0, hot, 7.0).state is S.HOT
    warm = go(7.9, hot, 7.0)
    assert warm.state is S.WARM
    assert go(7.0, warm, 40.0).state is S.WARM
    assert go(6.9, warm, 40.0).state is S.NOMINAL


def check_the_rate_follows_the_power_budget(m):
    """With 20 W at 100 inferences a second and a budget of 10 W, some 50 are allowed in the end."""
    bounds = limits(m, power_budget_w=10.0)
    state, rate = m.state.ThermalPolicyState(), 100.0
    for second in range(120):
        given = reading(m, 50.0, power_w=0.2 * rate, rate_per_s=rate)
        decision = m.policy.decide(state, given, float(second), bounds)
        state, allowed = decision.state, decision.allowance.rate_per_s
        rate = 100.0 if allowed is None else min(100.0, allowed)
    assert state.state is S.HOT
    assert 45.0 < rate < 50.0


def check_hot_and_rising_at_the_last_step_is_critical(m):
    """Hot at the last step and still rising for 60 s is critical, though the margin is not used up."""
    state = m.state.ThermalPolicyState()
    reached = None
    for second in range(400):
        temp_c = min(87.4, 83.0 + 0.021 * second)
        given = reading(m, temp_c, rate_per_s=100.0 if second < 5 else 1.0)
        decision = m.policy.decide(state, given, float(second), limits(m))
        state = decision.state
        if state.state is S.CRITICAL:
            reached = second
            break
    assert reached is not None
    assert state.cause == "hot_and_rising"
    assert temp_c < LIMIT_C - 2.0


def check_steps_are_taken_one_a_period(m):
    """WARM first defers background work, halves batches 10 s later, and never goes further."""
    first = walk(m, *stay(76.0, 0.0, 12.0))
    assert (first.allowance.step, first.allowance.defer_background) == (1, True)
    assert first.allowance.batch_share == 1.0
    second = walk(m, *stay(76.0, 0.0, 13.0))
    assert (second.allowance.step, second.allowance.batch_share) == (2, 0.5)
    assert walk(m, *stay(76.0, 0.0, 90.0)).allowance.step == 2
    falling = [(4.0 + second, 76.0 - 0.06 * second) for second in range(14)]
    assert walk(m, *stay(76.0, 0.0, 3.0), *falling).allowance.step == 1


def check_hot_steps_follow_how_tight_the_rate_is(m):
    """Fewer threads where less than three quarters are left, a lighter model where less than a half is."""
    state, steps = m.state.ThermalPolicyState(), []
    for second in range(120):
        given = reading(m, 87.0, rate_per_s=100.0 if second < 3 else 40.0)
        decision = m.policy.decide(state, given, float(second), limits(m))
        state = decision.state
        allowed = decision.allowance
        if allowed.step not in steps:
            steps.append(allowed.step)
            share = (state.rate.allowed_per_s or 0.0) / state.rate.reference_per_s
            if allowed.step == 4:
                assert share < 0.75
                assert (allowed.thread_share, allowed.lighter_model) == (0.5, False)
            if allowed.step == 5:
                assert share < 0.5
                assert allowed.lighter_model
    assert steps[-3:] == [3, 4, 5]
    floor_per_s = 0.25 * state.rate.reference_per_s
    assert abs(decision.allowance.rate_per_s - floor_per_s) < 0.01
    cool = at(m, 84.0, 100.0, rate_per_s=50.0)
    assert cool.allowance.step == 3


def check_critical_refuses(m):
    """CRITICAL refuses, and hot does not."""
    assert at(m, 89.0).allowance.refuse
    assert not at(m, 85.0).allowance.refuse


def check_a_lost_critical_device_recovers(m):
    """Critical and then blind for five minutes is hot: it did nothing in that time."""
    critical = at(m, 89.0).state
    blind = walk(m, *stay(None, 21.0, 319.0), state=critical)
    assert blind.state.state is S.CRITICAL
    assert walk(m, *stay(None, 320.0, 321.0), state=blind.state).state.state is S.HOT


def check_a_cooler_state_can_be_forced(m):
    """An operator's cooler state holds at any temperature, and takes half of the rate."""
    forced = m.state.Forced(S.HOT, "ana", "the fan is out")
    decision = walk(m, *stay(40.0, 0.0, 30.0, rate_per_s=100.0), forced=forced)
    assert name(decision) == (S.HOT, "operator")
    assert decision.state.reason == "ana: the fan is out"
    assert 45.0 < decision.allowance.rate_per_s <= 50.0
    ended = walk(m, (31.0, 40.0), state=decision.state)
    assert name(ended) == (S.NOMINAL, "override_ended")


def check_a_hotter_state_is_ignored_when_critical(m):
    """An operator's hotter state frees a hot device, but not a critical one."""
    forced = m.state.Forced(S.NOMINAL, "ana", "a demo")
    free = walk(m, *stay(84.0, 0.0, 30.0), forced=forced)
    assert (free.state.state, free.state.judged) == (S.NOMINAL, S.HOT)
    assert free.allowance.rate_per_s is None
    held = walk(m, *stay(89.0, 0.0, 30.0), forced=forced)
    assert held.state.state is S.CRITICAL
    assert held.ignored
    assert "ignored" in met(held, "operator").detail


def check_a_stuck_sensor_is_told(m):
    """The same value for 5 min while the load grew fourfold is a warning; with a steady load it is none."""
    load = lambda second: 0.2 if second < 150 else 0.8  # noqa: E731
    steps = [(float(second), 50.0, {"load": load(second)}) for second in range(302)]
    assert walk(m, *steps[:300]).warnings == ()
    (said,) = walk(m, *steps).warnings
    assert "stuck?" in said
    steady = [(float(second), 50.0, {"load": 0.5}) for second in range(400)]
    assert walk(m, *steady).warnings == ()
    moving = [(float(s), 50.0 + 0.1 * (s % 2), {"load": load(s)}) for s in range(400)]
    assert walk(m, *moving).warnings == ()


def check_a_configured_warning_counts(m):
    """`warn_temp_c` is where WARM begins; it ends 5 °C below."""
    bounds = limits(m, warn_c=60.0)
    go = lambda temp_c, **more: walk(  # noqa: E731
        m, *stay(temp_c, 0.0, 9.0), bounds=bounds, **more
    )
    assert go(59.9).state.state is S.NOMINAL
    warm = go(60.0)
    assert warm.state.state is S.WARM
    later = lambda temp_c: walk(  # noqa: E731
        m, *stay(temp_c, 10.0, 60.0), bounds=bounds, state=warm.state
    )
    assert later(55.0).state.state is S.WARM
    assert later(54.9).state.state is S.NOMINAL


def check_conditions_say_what_was_looked_at(m):
    """Each condition has measure, threshold, held and needed."""
    decision = walk(m, *stay(60.0, 0.0, 20.0), *stay(84.0, 27.0, 28.0))
    hot = met(decision, "hot_temperature")
    assert (hot.measured, hot.threshold, hot.held_s, hot.needed_s) == (84.0, 83.0, 1.0, 2.0)
    assert not hot.met
    assert met(walk(m, (29.0, 84.0), state=decision.state), "hot_temperature").met


def check_a_believed_forecast_only_warms(m):
    """A limit less than 60 s away makes it warm and no more; one that is farther away nothing."""
    judged = m.judge
    scene = lambda left_s: m.signals.Scene(  # noqa: E731
        reading=reading(m, 60.0),
        sensor=m.sensor.SensorState(temp_c=60.0, read_s=0.0),
        temp_c=60.0,
        limit_c=LIMIT_C,
        forecast_s=left_s,
        throttling=False,
        steps_taken=False,
    )
    nominal = at(m, 60.0, 0.0).state

    def after(left_s):
        state, seen = judged.look(nominal, scene(left_s), 1.0, limits(m))
        return judged.judge(state, seen, 1.0, limits(m))

    assert (after(59.9).judged, after(59.9).judged_cause) == (S.WARM, "forecast")
    assert after(60.0).judged is S.NOMINAL
    assert after(None).judged is S.NOMINAL


def check_forecasts_must_beat_persistence(m):
    """On a long ramp a forecast wins and says when; on noise and plateaus nobody is believed."""
    f = m.forecast
    state = f.ForecastState()
    for second in range(120):
        state = f.observe(state, 40.0 + 0.2 * second, 0.2, float(second))
    assert f.best(state) is not None
    left_s, _ = f.seconds_to(state, 64.0, 0.2, 74.0)
    assert 40.0 < left_s < 70.0
    assert f.seconds_to(state, 64.0, -0.1, 74.0) == (None, "it is not rising")
    assert f.seconds_to(state, 75.0, 0.2, 74.0)[0] == 0.0
    assert f.seconds_to(state, 64.0, 0.2, 124.0)[0] is None
    flat = f.ForecastState()
    for second in range(400):
        jump = 20.0 if second % 80 > 40 else 0.0
        flat = f.observe(
            flat, 40.0 + jump, 3.0 if second % 80 in (41, 42, 43) else 0.0, float(second)
        )
    assert f.best(flat) is None
    assert "better" in f.seconds_to(flat, 60.0, 1.0, 74.0)[1]
    assert "scored" in f.seconds_to(f.ForecastState(), 60.0, 1.0, 74.0)[1]


def closed_loop(m, spec, limit_c, demand_per_s, seconds=420):
    """Run a plant under the policy; returns the highest temperature, transitions, and inferences."""
    plant, state = m.plant.Plant.idle(spec), m.state.ThermalPolicyState()
    rate, most_c, moves, done = demand_per_s, plant.die_c, 0, 0.0
    for second in range(seconds):
        given = m.reading.ThermalReading(
            temp_c=round(plant.die_c, 1), passive_c=limit_c, rate_per_s=rate if second else 0.0
        )
        decision = m.policy.decide(state, given, float(second), limits(m))
        moves += decision.state.state is not state.state and second > 0
        state, allowed = decision.state, decision.allowance
        rate = demand_per_s if allowed.rate_per_s is None else min(demand_per_s, allowed.rate_per_s)
        rate = 0.0 if allowed.refuse else rate
        plant = plant.after(spec, spec.power_w(rate), 1.0)
        most_c = max(most_c, plant.die_c)
        done += rate
    return most_c, moves, done / seconds, plant, state


def check_a_plant_is_held_below_its_limit(m):
    """Twice too much work is governed to what the device can take, 3.5 °C below its limit, calmly."""
    spec = m.plant.PlantSpec()
    most_c, moves, _, plant, state = closed_loop(m, spec, 70.0, 1200.0)
    assert spec.steady_c(1200.0) > 75.0
    assert state.state is S.HOT
    assert 64.5 < plant.die_c < 68.0
    assert most_c <= 68.0
    assert moves <= 2


def check_cooling_begins_when_trouble_ends(m):
    """Under-voltage that ends is left 30 s later, not at once because it was cool all the while."""
    begun = walk(m, *stay(50.0, 0.0, 60.0, under_voltage=True)).state
    assert walk(m, *stay(50.0, 61.0, 90.0), state=begun).state.state is S.HOT
    assert walk(m, *stay(50.0, 61.0, 91.0), state=begun).state.state is S.WARM


def check_each_hot_step_has_its_share(m):
    """Step 4 below three quarters, step 5 below a half of the reference, and only near the governed heat."""

    def after(step, share, temp_c=87.0, held_s=10.0, state=S.HOT):
        rate = m.rate.RateState(reference_per_s=100.0, allowed_per_s=100.0 * share)
        given = m.steps.StepInput(
            state=state,
            step=step,
            held_s=held_s,
            temp_c=temp_c,
            limit_c=LIMIT_C,
            slope_c_per_s=0.0,
            rate=rate,
            called=frozenset({state}),
        )
        return m.steps.next_step(given, limits(m))

    assert (after(3, 0.74), after(3, 0.76), after(4, 0.49), after(4, 0.51)) == (4, 3, 5, 4)
    assert after(3, 0.5, temp_c=85.4) == 3
    assert after(3, 0.5, held_s=9.9) == 3
    assert after(5, 0.25) == 5
    assert after(0, 1.0) == 3
    assert after(5, 1.0, state=S.WARM) == 1
    allowed = [m.steps.allowance(step, S.HOT, m.rate.RateState(), limits(m)) for step in range(7)]
    assert [each.thread_share for each in allowed] == [1.0] * 4 + [0.5] * 3
    assert [each.batch_share for each in allowed] == [1.0] * 2 + [0.5] * 5
    assert [each.refuse for each in allowed] == [False] * 6 + [True]
    assert [each.lighter_model for each in allowed] == [False] * 5 + [True] * 2


def check_a_called_state_is_not_left(m):
    """A device that a forecast keeps warm stays warm, however cool it is."""
    warm = at(m, 76.0).state
    cool = m.signals.Scene(
        reading=reading(m, 40.0),
        sensor=warm.sensor,
        temp_c=40.0,
        limit_c=LIMIT_C,
        forecast_s=30.0,
        throttling=False,
        steps_taken=False,
    )
    for left_s, expected in ((30.0, S.WARM), (None, S.NOMINAL)):
        state, scene = warm, dataclasses.replace(cool, forecast_s=left_s)
        for second in range(21, 80):
            state, seen = m.judge.look(state, scene, float(second), limits(m))
            state = m.judge.judge(state, seen, float(second), limits(m))
            assert state.judged in (S.WARM, expected)
        assert state.judged is expected


def check_rising_while_the_rate_is_not_tight_is_not_critical(m):
    """A hot device that rises for minutes at its first step is hot."""
    steps = [(float(s), min(86.0, 83.0 + 0.025 * s), {"rate_per_s": 50.0}) for s in range(110)]
    decision = walk(m, *steps)
    assert decision.state.step == 3
    assert decision.state.state is S.HOT


def check_the_rate_answers_to_change(m):
    """At one error a rise lowers the rate, a fall raises it; a slope counts as six seconds of itself."""

    def moved(before_c, temp_c, slope=0.0):
        state = m.rate.RateState(100.0, 100.0, 50.0, before_c, None, 0.0)
        given = m.rate.RateInput(
            served_per_s=50.0,
            temp_c=temp_c,
            slope_c_per_s=slope,
            limit_c=LIMIT_C,
            power_w=None,
            budget_w=None,
            pulled=False,
            capped=False,
        )
        return m.rate.govern(state, given, 1.0).allowed_per_s

    assert moved(84.5, 86.5) < 50.0 < moved(88.5, 86.5)
    assert abs(moved(86.5, 86.5) - 50.0) < 1e-9
    assert abs(moved(86.5, 86.0, slope=0.5) - moved(86.5, 89.0)) < 1e-9
    assert moved(88.0, 88.0) < 50.0 < moved(85.0, 85.0)


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]
