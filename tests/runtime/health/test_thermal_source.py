"""From sensors to the policy: limits of the control sensor, throttling, and what is not believed."""

from __future__ import annotations

import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.runtime.health.monitor import ResourceUsage
from edgeconsole.runtime.health.thermal_source import thermal_reading


def sensor(name, value, kind=SensorKind.TEMPERATURE, quality=Quality.MEASURED, **fields):
    """Return a reading."""
    return SensorReading(kind=kind, name=name, value=value, quality=quality, **fields)


def usage(temperature=None, power=None, cpu=None, reason=""):
    """Return what the monitor read."""
    return ResourceUsage(
        temp_c=Reading(reason=reason),
        power_w=Reading(),
        cpu_percent=cpu,
        memory_percent=None,
        memory_used_bytes=None,
        agent_rss_bytes=None,
        control_temperature=temperature,
        control_power=power,
    )


def test_the_control_sensor_with_its_trips() -> None:
    """Temperature, name, and the passive and critical trips; a fan's trip is none."""
    zone = sensor("cpu", 61.0, limits={"active": 50.0, "passive": 85.0, "critical": 105.0})
    found = thermal_reading(usage(zone, cpu=40.0), (), 12.0)
    assert (found.temp_c, found.sensor, found.rate_per_s) == (61.0, "cpu", 12.0)
    assert (found.passive_c, found.critical_c) == (85.0, 105.0)
    assert found.load == 0.4
    chip = sensor("coretemp/Package id 0", 61.0, limits={"max": 80.0, "crit": 100.0})
    found = thermal_reading(usage(chip), (), 0.0)
    assert (found.passive_c, found.critical_c) == (None, 100.0)


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (sensor("cpu", None, reason="EIO"), "EIO"),
        (sensor("cpu", 60.0, quality=Quality.UNKNOWN, reason="not plausible"), "not plausible"),
        (sensor("cpu", 60.0, age_s=5.1), "cpu was last read 5 s ago"),
        (None, "no thermal zone"),
    ],
)
def test_what_is_not_believed_is_no_temperature(control, reason) -> None:
    """Unread, unbelieved, old and absent sensors are unknown, with the reason."""
    found = thermal_reading(usage(control, reason="no thermal zone"), (), 0.0)
    assert (found.temp_c, found.reason) == (None, reason)


def test_an_estimated_power_trips_nothing() -> None:
    """A measured power counts against the budget, an estimate does not."""
    watts = lambda quality: sensor("p", 9.0, SensorKind.POWER, quality)  # noqa: E731
    assert thermal_reading(usage(power=watts(Quality.MEASURED)), (), 0.0).power_w == 9.0
    assert thermal_reading(usage(power=watts(Quality.DERIVED)), (), 0.0).power_w == 9.0
    assert thermal_reading(usage(power=watts(Quality.ESTIMATED)), (), 0.0).power_w is None


def test_throttling_of_all_kinds() -> None:
    """Counters are added up; bits of now count, bits since boot and control groups do not."""
    throttle = lambda name, value: sensor(name, value, SensorKind.THROTTLE)  # noqa: E731
    found = thermal_reading(
        usage(),
        (
            throttle("cpu0/core_throttle_count", 3.0),
            throttle("package-0/package_throttle_count", 4.0),
            throttle("cgroup/nr_throttled", 99.0),
            throttle("vcgencmd/throttled_since_boot", 1.0),
            throttle("vcgencmd/under_voltage_since_boot", 1.0),
            throttle("vcgencmd/throttled", 0.0),
        ),
        0.0,
    )
    assert (found.throttle_count, found.throttled, found.under_voltage) == (7, False, False)
    for name, expected in (
        ("vcgencmd/throttled", (True, False)),
        ("gpu0/hw_thermal_slowdown", (True, False)),
        ("vcgencmd/under_voltage", (False, True)),
        ("rpi_volt/under_voltage", (False, True)),
    ):
        found = thermal_reading(usage(), (throttle(name, 1.0),), 0.0)
        assert (found.throttled, found.under_voltage) == expected
        assert found.throttle_count is None


def test_a_monitor_that_hangs_is_noticed() -> None:
    """What was read long ago is no temperature of now, though it was new when it was published."""
    published = sensor("cpu", 60.0)
    later = sensor("cpu", 60.0, age_s=7.0)
    assert thermal_reading(usage(published), (published,), 0.0).temp_c == 60.0
    found = thermal_reading(usage(published), (later,), 0.0)
    assert (found.temp_c, found.reason) == (None, "cpu was last read 7 s ago")
