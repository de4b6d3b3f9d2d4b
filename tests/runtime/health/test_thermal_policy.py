"""The thermal policy: what must hold of it, and that a changed threshold or operator is noticed."""

from __future__ import annotations

import pytest
import thermal_checks
import thermal_world

MUTATIONS = [
    ("reading", "(-40.0, 125.0)", "(-300.0, 125.0)"),
    ("reading", "(-40.0, 125.0)", "(-40.0, 250.0)"),
    ("limits", "(50.0, 125.0)", "(40.0, 125.0)"),
    ("limits", "(50.0, 125.0)", "(50.0, 130.0)"),
    ("limits", "_BEFORE_CRITICAL_C: Final = 10.0", "_BEFORE_CRITICAL_C: Final = 5.0"),
    ("limits", "return min(found)", "return max(found)"),
    ("limits", "warm_c: float = 15.0\n    hot", "warm_c: float = 14.0\n    hot"),
    ("limits", "    hot_c: float = 7.0", "    hot_c: float = 8.0"),
    ("limits", "    critical_c: float = 2.0", "    critical_c: float = 3.0"),
    ("limits", "leave_warm_c: float = 20.0", "leave_warm_c: float = 19.0"),
    ("limits", "leave_hot_c: float = 12.0", "leave_hot_c: float = 11.0"),
    ("limits", "warm_hold_s: float = 3.0", "warm_hold_s: float = 2.0"),
    ("limits", "hot_hold_s: float = 2.0", "hot_hold_s: float = 3.0"),
    ("limits", "critical_hold_s: float = 1.0", "critical_hold_s: float = 0.0"),
    ("limits", "critical_hold_s: float = 1.0", "critical_hold_s: float = 2.0"),
    ("limits", "    cool_hold_s: float = 30.0", "    cool_hold_s: float = 29.0"),
    ("limits", "cool_critical_hold_s: float = 60.0", "cool_critical_hold_s: float = 50.0"),
    ("limits", "rising_hold_s: float = 60.0", "rising_hold_s: float = 600.0"),
    ("limits", "react_s: float = 2.5", "react_s: float = 1.5"),
    ("limits", "steady_c_per_s: float = 0.4", "steady_c_per_s: float = 0.0"),
    ("limits", "most_widening_c: float = 15.0", "most_widening_c: float = 30.0"),
    ("limits", "most_critical_widening_c: float = 3.0", "most_critical_widening_c: float = 9.0"),
    ("limits", "    lost_s: float = 10.0", "    lost_s: float = 12.0"),
    ("limits", "    lost_s: float = 10.0", "    lost_s: float = 8.0"),
    ("limits", "good_reads: int = 5", "good_reads: int = 4"),
    ("limits", "stuck_s: float = 300.0", "stuck_s: float = 200.0"),
    ("limits", "stuck_load_factor: float = 4.0", "stuck_load_factor: float = 5.0"),
    ("limits", "stuck_load_factor: float = 4.0", "stuck_load_factor: float = 1.0"),
    ("limits", "warm_power_share: float = 0.9", "warm_power_share: float = 0.85"),
    ("limits", "hot_power_share: float = 1.0", "hot_power_share: float = 0.95"),
    ("limits", "leave_hot_power_share: float = 0.8", "leave_hot_power_share: float = 0.9"),
    ("limits", "leave_warm_power_share: float = 0.7", "leave_warm_power_share: float = 0.8"),
    ("limits", "warm_power_hold_s: float = 10.0", "warm_power_hold_s: float = 9.0"),
    ("limits", "hot_power_hold_s: float = 5.0", "hot_power_hold_s: float = 4.0"),
    ("limits", "forecast_s: float = 60.0", "forecast_s: float = 70.0"),
    ("limits", "step_s: float = 10.0", "step_s: float = 9.0"),
    ("limits", "step_s: float = 10.0", "step_s: float = 11.0"),
    ("limits", "calm_s: float = 120.0", "calm_s: float = 5.0"),
    ("limits", "calm_s: float = 120.0", "calm_s: float = 500.0"),
    ("sensor", "now_s - read_s > limits.lost_s", "now_s - read_s >= limits.lost_s"),
    ("sensor", "good_reads=0, ", ""),
    ("sensor", "good_reads < limits.good_reads", "good_reads <= limits.good_reads"),
    ("sensor", "if temp_c != state.temp_c:", "if temp_c == state.temp_c:"),
    ("sensor", "return sum((at_s - mean_s)", "return -sum((at_s - mean_s)"),
    (
        "signals",
        "max(0.0, sensor.slope_c_per_s - limits",
        "max(0.0, -sensor.slope_c_per_s - limits",
    ),
    ("signals", "min(widening, limits.most_critical_widening_c)", "widening"),
    ("signals", "temp_c >= start_c", "temp_c > start_c"),
    ("signals", "temp_c < end_c", "temp_c <= end_c"),
    ("signals", "held_s >= self.needed_s", "held_s > self.needed_s"),
    ("signals", "kept[signal.name] = held.get(signal.name, now_s)", "kept[signal.name] = now_s"),
    ("signals", "if signal.present or (", "if (signal.present is None) or ("),
    ("signals", "soon < limits.forecast_s", "soon <= limits.forecast_s"),
    (
        "signals",
        '"forecast",\n            ThermalState.WARM',
        '"forecast",\n            ThermalState.HOT',
    ),
    ("signals", "power_w > share * budget_w", "power_w >= share * budget_w"),
    ("signals", "share >= limits.leave_hot_power_share", "share > limits.leave_hot_power_share"),
    ("signals", "share >= limits.leave_warm_power_share", "share > limits.leave_warm_power_share"),
    ("signals", "scene.throttling or scene.reading.under_voltage or", "scene.throttling or"),
    ("signals", "troubled = scene.throttling or", "troubled ="),
    ("signals", "or scene.sensor.lost\n", "\n"),
    ("signals", "_WARM_GAP_C: Final = 5.0", "_WARM_GAP_C: Final = 4.0"),
    ("signals", "RISING_C_PER_S: Final = 0.02", "RISING_C_PER_S: Final = 0.05"),
    ("signals", "scene.steps_taken and slope > RISING", "slope > RISING"),
    ("steps", "0.5 if step >= 2 else", "0.5 if step >= 1 else"),
    ("steps", "0.5 if step >= 4 else", "0.5 if step >= 3 else"),
    ("steps", "step >= 6", "step >= 5"),
    ("steps", "3: 0.75, 4: 0.5", "3: 0.9, 4: 0.5"),
    ("steps", "3: 0.75, 4: 0.5", "3: 0.75, 4: 0.7"),
    ("steps", "ThermalState.WARM: (1, 2)", "ThermalState.WARM: (1, 3)"),
    ("steps", "given.slope_c_per_s >= _FALLING_C_PER_S", "given.slope_c_per_s >= -9.0"),
    ("steps", "given.held_s < limits.step_s", "given.held_s <= limits.step_s"),
    ("steps", "if state is ThermalState.UNKNOWN:", "if state is ThermalState.NOMINAL:"),
    ("judge", "calling.level.depth > here.depth:", "calling.level.depth >= here.depth:"),
    ("judge", "now_s - state.judged_since_s >= needed_s", "now_s - state.judged_since_s >= 0.0"),
    ("judge", "_LEAVES[here] in seen.met and", ""),
    ("judge", "calling.level.depth > after.depth)", "calling.level.depth > here.depth)"),
    ("judge", "_LOST_CRITICAL_S: Final = 300.0", "_LOST_CRITICAL_S: Final = 200.0"),
    ("judge", "ignored = judged is ThermalState.CRITICAL", "ignored = judged is ThermalState.HOT"),
    ("judge", "ignored = judged is ThermalState.CRITICAL", "ignored = False"),
    ("judge", "min(limits.most_setbacks, setbacks + 1)", "0"),
    ("judge", "now_s - state.fell_s >= limits.calm_s", "now_s - state.fell_s < limits.calm_s"),
    ("judge", "patience = 2.0**state.setbacks", "patience = 1.0"),
    (
        "judge",
        "ThermalState.CRITICAL: ThermalState.HOT,",
        "ThermalState.CRITICAL: ThermalState.WARM,",
    ),
    ("policy", "count > known)", "count != known)"),
    ("policy", "count > known)", "count >= known)"),
    ("policy", "_THROTTLING_S: Final = 5.0", "_THROTTLING_S: Final = 9.0"),
    ("policy", "state.state.depth < ThermalState.HOT.depth", "state.state.depth <= 2"),
    ("policy", "if limit_c is None and temp_c is None:", "if False:"),
    ("policy", "capped=by_operator", "capped=False"),
    ("policy", "or state.sensor.lost\n", "\n"),
    ("policy", "or not (known or", "or not (True or"),
    ("rate", "CAPPED_SHARE: Final = 0.5", "CAPPED_SHARE: Final = 0.8"),
    ("rate", "FLOOR_SHARE: Final = 0.25", "FLOOR_SHARE: Final = 0.1"),
    ("rate", "SET_C: Final = 3.5", "SET_C: Final = 1.0"),
    ("rate", "SET_C: Final = 3.5", "SET_C: Final = 6.5"),
    ("rate", "_SET_POWER_SHARE: Final = 0.97", "_SET_POWER_SHARE: Final = 1.2"),
    ("rate", "step = min(moves", "step = max(moves"),
    ("rate", "- _KP_PER_C * (ahead_c - state.ahead_c)", "+ _KP_PER_C * (ahead_c - state.ahead_c)"),
    ("rate", "_SET_POWER_SHARE * budget_w - given.power_w", "given.power_w - budget_w"),
    ("rate", "_AHEAD_S: Final = 6.0", "_AHEAD_S: Final = -6.0"),
    ("forecast", "_WINS_BELOW: Final = 0.9", "_WINS_BELOW: Final = 9.0"),
    ("forecast", "slope_c_per_s <= 0.0:", "slope_c_per_s <= -9.0:"),
    ("forecast", "-damping_s * math.log(1.0 - share)", "damping_s * share * share"),
    ("forecast", "if temp_c >= limit_c:", "if temp_c > limit_c + 5.0:"),
]


def survives(modules, checks=thermal_checks.CHECKS) -> bool:
    """Say whether no check notices that something is wrong."""
    for check in checks:
        try:
            check(modules)
        except Exception:  # noqa: BLE001 - a mutant may fail in any way
            return False
    return True


@pytest.mark.parametrize("check", thermal_checks.CHECKS, ids=lambda check: check.__name__)
def test_it_holds(check) -> None:
    """What each check says of the policy."""
    check(thermal_world.real())


def test_an_unchanged_copy_survives() -> None:
    """The method itself is sound: a copy without a mutation passes every check."""
    line = "from __future__ import annotations\n"
    assert survives(thermal_world.mutant("policy", line, line))


@pytest.mark.parametrize(("module", "old", "new"), MUTATIONS)
def test_a_mutation_is_noticed(module: str, old: str, new: str) -> None:
    """Each changed threshold or operator fails at least one check."""
    assert not survives(thermal_world.mutant(module, old, new))
