"""What captured devices say of themselves, for ten minutes: traps for sensors trip no failsafe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from captures import cases
from trees import unpack

from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_policy import decide
from edgeconsole.runtime.health.thermal_source import thermal_reading
from edgeconsole.runtime.health.thermal_state import ThermalPolicyState


def ten_minutes(reading):
    """Return the states that a device which always says the same is in."""
    state, seen = ThermalPolicyState(), set()
    for second in range(600):
        state = decide(state, reading, float(second), ThermalLimits()).state
        seen.add(state.state)
    return seen


def read(sysfs, procfs):
    """Read a tree once, as the agent would."""
    monitor = EdgeResourceMonitor(sysfs, procfs, also=())
    monitor._collect(monitor._files)
    return thermal_reading(monitor.latest, monitor.report().readings, 0.0)


@pytest.mark.parametrize("case", cases())
def test_a_captured_device_is_never_critical(case) -> None:
    """No placeholder, no other chip's alarm, no garbage makes a device refuse; only its own heat may."""
    reading = read(case / "sys", case / "proc")
    seen = ten_minutes(reading)
    limit_c = min(
        (each for each in (reading.passive_c, reading.critical_c) if each is not None),
        default=None,
    )
    if reading.temp_c is None or limit_c is None or reading.temp_c < limit_c - 12.0:
        assert ThermalState.CRITICAL not in seen
    if reading.temp_c is None:
        assert seen <= {ThermalState.UNKNOWN}
        assert reading.reason


def test_a_board_with_its_trips(tmp_path) -> None:
    """A zone's passive trip is the limit; a hot PHY beside it, with its alarm, is nothing."""
    unpack(
        "sys/class/thermal/thermal_zone0/type = cpu-thermal\n"
        "sys/class/thermal/thermal_zone0/temp = 61000\n"
        "sys/class/thermal/thermal_zone0/trip_point_0_type = critical\n"
        "sys/class/thermal/thermal_zone0/trip_point_0_temp = 105000\n"
        "sys/class/thermal/thermal_zone0/trip_point_1_type = passive\n"
        "sys/class/thermal/thermal_zone0/trip_point_1_temp = 85000\n"
        "sys/class/hwmon/hwmon0/name = 6810000ethernet00-mdio\n"
        "sys/class/hwmon/hwmon0/temp1_input = 95700\n"
        "sys/class/hwmon/hwmon0/temp1_crit = 70000\n"
        "sys/class/hwmon/hwmon0/temp1_crit_alarm = 1\n",
        tmp_path,
    )
    reading = read(tmp_path / "sys", tmp_path / "proc")
    assert (reading.temp_c, reading.passive_c, reading.critical_c) == (61.0, 85.0, 105.0)
    assert ten_minutes(reading) == {ThermalState.NOMINAL}


async def test_an_agent_without_sensors_says_so() -> None:
    """Nothing exposed: unknown, with the monitor's reason, and everything is allowed."""
    nothing = Path("/nonexistent")
    nowhere = await asyncio.to_thread(read, nothing, nothing)
    assert nowhere.temp_c is None
    decision = decide(ThermalPolicyState(), nowhere, 0.0, ThermalLimits())
    assert decision.state.state is ThermalState.UNKNOWN
    assert "no thermal zone" in decision.state.reason
    assert decision.allowance == type(decision.allowance)()
