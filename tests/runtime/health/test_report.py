"""Control sensors, totals, estimates and what memory is left: pure functions of readings."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.headroom import available_memory_bytes
from edgeconsole.runtime.health.sensors.control import choose_temperature
from edgeconsole.runtime.health.sensors.counters import watts_between
from edgeconsole.runtime.health.sensors.report import make_report
from edgeconsole.runtime.health.sensors.round import Count
from edgeconsole.specs import HealthConfig, PowerEstimate
from tests.runtime.health.trees import unpack


def reading(
    name: str,
    value: float | None,
    kind: SensorKind = SensorKind.TEMPERATURE,
    unit: str = "°C",
    quality: Quality = Quality.MEASURED,
) -> SensorReading:
    """Return a reading; without a value it has a reason."""
    return SensorReading(
        kind=kind,
        name=name,
        value=value,
        unit=unit,
        quality=Quality.UNKNOWN if value is None else quality,
        reason="EAGAIN" if value is None else "",
    )


ORDER = (
    ("coretemp/Package id 0", "k10temp/Tctl", "zenpower@x/Tctl", "coretemp.1/Physical id 1"),
    ("k10temp/Tdie", "coretemp/Core 3"),
    (
        *("thermal_zone0/cpu-thermal", "thermal_zone3/cpu_thermal", "thermal_zone1/x86_pkg_temp"),
        *("thermal_zone2/soc-thermal", "thermal_zone2/CPU-therm", "thermal_zone9/cpu0-1-thermal"),
        *("thermal_zone2/soc_max_thermal", "thermal_zone0/bcm2835_thermal", "thermal_zone5/TCPU"),
        *("thermal_zone1/cpu-thermal-zone", "thermal_zone0/cpu12-thermal"),
    ),
    ("thermal_zone7/tj-thermal", "thermal_zone7/Tj", "thermal_zone7/TJ-therm"),
    ("thermal_zone1/gpu-thermal", "thermal_zone1/npu-thermal", "thermal_zone1/PLL-therm"),
)
NEVER = (
    *("thermal_zone0/acpitz", "thermal_zone0/PMIC-Die", "thermal_zone0/Tboard_tegra"),
    *("thermal_zone0/pmic_thermal", "thermal_zone0/iwlwifi_1", "thermal_zone0/battery-thermal"),
    *("thermal_zone0/thermal-fan-est", "thermal_zone0/skin-therm", "thermal_zone0/?"),
    *("nvme/Composite", "k10temp/Tccd1", "6810000ethernet00/temp1", "nvidia0/temperature"),
    *("thermal_zone0/my-ddr-thermal", "thermal_zone0/wifi-thermal", "BAT0/battery"),
)


@pytest.mark.parametrize("better", range(len(ORDER)))
def test_a_better_kind_of_sensor_wins_however_cool_it_is(better: int) -> None:
    """Each name of a tier is chosen before each of the tiers below, and before what is never chosen."""
    for name in ORDER[better]:
        for worse in (*(each for tier in ORDER[better + 1 :] for each in tier), *NEVER):
            choice = choose_temperature([reading(worse, 99.0), reading(name, 20.0)])
            assert choice.name == name, worse


@pytest.mark.parametrize("name", NEVER)
def test_other_sensors_are_not_taken_for_the_processor(name: str) -> None:
    """Boards, power chips, radios and disks are named in the reason, and give no value."""
    choice = choose_temperature([reading(name, 99.0)])
    assert choice.name is None
    assert name in choice.reading.reason


def test_of_equal_sensors_the_hottest_counts() -> None:
    """Among packages, and among zones of the same kind."""
    packages = [reading("coretemp.0/Package id 0", 60.0), reading("coretemp.1/Package id 1", 61.0)]
    assert choose_temperature(packages).name == "coretemp.1/Package id 1"


def test_a_held_sensor_that_is_silent_is_lost() -> None:
    """It is not replaced from a worse tier, but from a better one; nor is one that vanished."""
    silent = [
        reading("thermal_zone0/cpu-thermal", None),
        reading("thermal_zone1/gpu-thermal", 50.0),
    ]
    assert choose_temperature(silent).name == "thermal_zone1/gpu-thermal"
    held = choose_temperature([reading("thermal_zone0/cpu-thermal", 40.0), silent[1]]).tier
    lost = choose_temperature(silent, held_tier=held)
    assert (lost.name, lost.tier) == (None, held)
    assert lost.reading.reason == "the sensor is lost: thermal_zone0/cpu-thermal: EAGAIN"
    gone = choose_temperature(silent[1:], held_tier=held)
    assert gone.reading.reason == "the sensor is lost: it is not there any more"
    better = reading("coretemp/Package id 0", 41.0)
    assert choose_temperature([*silent, better], held_tier=held).name == better.name


def test_what_is_not_believed_does_not_control() -> None:
    """An implausible value is passed over, and named where nothing else is there."""
    frozen = reading("thermal_zone0/cpu-thermal", -44.0, quality=Quality.UNKNOWN)
    choice = choose_temperature([frozen])
    assert (choice.name, choice.reading.value) == (None, None)
    assert choice.reading.reason.startswith("thermal_zone0/cpu-thermal")


@pytest.mark.parametrize("wanted", ["thermal_zone1/gpu-thermal", "gpu-thermal", "*gpu*"])
def test_a_configured_sensor_is_found_by_name_part_or_pattern(wanted: str) -> None:
    """Whatever else is there; and if it is silent nothing takes its place."""
    found = [reading("coretemp/Package id 0", 60.0), reading("thermal_zone1/gpu-thermal", 50.0)]
    assert choose_temperature(found, wanted).name == "thermal_zone1/gpu-thermal"
    silent = choose_temperature([found[0], reading("thermal_zone1/gpu-thermal", None)], wanted)
    assert silent.name is None
    assert "EAGAIN" in silent.reading.reason


BUSY = reading("busy", 50.0, SensorKind.CPU, "%")


@pytest.mark.parametrize(("calibrated", "share"), [(False, 0.6), (True, 0.25)])
def test_an_estimate_is_a_range_and_in_no_total(calibrated: bool, share: float) -> None:  # noqa: FBT001
    """Half busy is half way; the range says how much it may be wrong."""
    config = HealthConfig(
        power_estimate=PowerEstimate(idle_w=3.0, full_w=9.0, calibrated=calibrated)
    )
    made = make_report([BUSY], config)
    assert (made.power.value, made.power.quality) == (6.0, Quality.ESTIMATED)
    assert made.power.limits == {
        "low": pytest.approx(6 * (1 - share)),
        "high": pytest.approx(6 * (1 + share)),
    }
    assert made.report.control.power == "estimate"
    assert made.report.totals.power_w is None


def test_an_estimate_never_stands_before_or_in_what_is_measured() -> None:
    """With a measured rail the estimate is only shown."""
    config = HealthConfig(power_estimate=PowerEstimate(idle_w=3.0, full_w=9.0))
    rail = reading("chip/rail", 4.0, SensorKind.POWER, "W")
    made = make_report([BUSY, rail], config)
    assert (made.report.control.power, made.report.totals.power_w) == ("chip/rail", 4.0)
    assert made.report.value(SensorKind.POWER, "estimate") == 6.0


@pytest.mark.parametrize("load", [None, ()])
def test_without_a_load_there_is_no_estimate(load: object) -> None:
    """Nothing is assumed in its place."""
    config = HealthConfig(power_estimate=PowerEstimate(idle_w=3.0, full_w=9.0))
    readings = [reading("busy", None, SensorKind.CPU, "%")] if load is None else []
    made = make_report(readings, config)
    assert made.report.control.power is None
    assert made.report.find(SensorKind.POWER, "estimate").reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("idle_w", "full_w"), [(0.0, 5.0), (-1.0, 5.0), (6.0, 5.0), (1.0, 1e6), (float("nan"), 5.0)]
)
def test_an_impossible_model_is_refused(idle_w: float, full_w: float) -> None:
    """A power that is none, or a line that falls."""
    with pytest.raises(ValueError, match="idle_w"):
        PowerEstimate(idle_w=idle_w, full_w=full_w)


@pytest.mark.parametrize(
    ("before", "after", "wraps_at_j", "watts"),
    [
        (Count(0.0, 0.0), Count(1.0, 15.0), 0.0, 15.0),
        (Count(0.0, 7.0), Count(2.0, 22.0), 0.0, 7.5),
        (Count(0.0, 7.0), Count(1.0, 7.0), 0.0, 0.0),
        (Count(0.0, 260.0), Count(1.0, 6.0), 262.0, 8.0),
        (None, Count(1.0, 5.0), 0.0, None),
        (Count(1.0, 5.0), Count(1.1, 9.0), 0.0, None),
        (Count(1.0, 9.0), Count(2.0, 5.0), 0.0, None),
        (Count(1.0, 200_000.0), Count(2.0, 5.0), 262_143.0, None),
        (Count(1.0, 5.0), Count(2.0, 2006.0), 0.0, None),
        (Count(2.0, 5.0), Count(1.0, 9.0), 0.0, None),
    ],
    ids=[
        *("one second", "two seconds", "still", "wrapped", "first", "too soon", "went back"),
        *("reset", "too much", "clock went back"),
    ],
)
def test_power_is_energy_over_time_or_unknown_with_a_reason(
    before: Count | None, after: Count, wraps_at_j: float, watts: float | None
) -> None:
    """Nothing is shown for a first count, a reset counter or an interval too short to trust."""
    found, reason = watts_between(before, after, wraps_at_j)
    assert found == (None if watts is None else pytest.approx(watts))
    assert bool(reason) is (watts is None)


MEMINFO = "proc/meminfo = MemTotal: 8000000 kB\\nMemAvailable: 6000000 kB\n"
GROUP = """
proc/self/cgroup = 0::/a/b
sys/fs/cgroup/a/memory.max = 2000000000
sys/fs/cgroup/a/memory.current = 1500000000
sys/fs/cgroup/a/memory.stat = anon 1\\ninactive_file 400000000
sys/fs/cgroup/a/b/memory.max = 1800000000
sys/fs/cgroup/a/b/memory.current = 100000000
"""
OLD_GROUP = """
proc/self/cgroup = 3:memory:/a
sys/fs/cgroup/memory/a/memory.limit_in_bytes = 900000000
sys/fs/cgroup/memory/a/memory.usage_in_bytes = 500000000
sys/fs/cgroup/memory/a/memory.stat = total_inactive_file 600000000
sys/fs/cgroup/memory/memory.limit_in_bytes = 9223372036854771712
sys/fs/cgroup/memory/memory.usage_in_bytes = 5
"""


@pytest.mark.parametrize(
    ("tree", "free"),
    [
        (MEMINFO, 6_144_000_000),
        (MEMINFO + GROUP, 900_000_000),
        (MEMINFO + OLD_GROUP, 900_000_000),
        ("proc/meminfo = MemAvailable: 1000 kB\n" + GROUP, 1_024_000),
    ],
    ids=["no group", "a parent's limit", "version 1", "the system has less"],
)
def test_what_memory_is_left_is_the_least_of_system_and_groups(
    tmp_path: Path, tree: str, free: int
) -> None:
    """Cache that can be dropped does not count as used."""
    unpack(tree, tmp_path)
    assert available_memory_bytes(tmp_path / "sys", tmp_path / "proc") == free


def test_memory_left_on_this_machine(tmp_path: Path) -> None:
    """It is no more than the system has, and there is an answer without any file."""
    assert 0 <= available_memory_bytes() <= psutil.virtual_memory().total
    assert available_memory_bytes(tmp_path, tmp_path) > 0
