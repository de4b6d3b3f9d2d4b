"""What the device measures is on `/metrics`: every reading that is believed, in base units, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading, SensorReport
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor
from edgeconsole.runtime.http.readings import Snapshot
from edgeconsole.runtime.http.sensor_metrics import metric_of
from edgeconsole.runtime.http.sensor_readings import read_monitor, read_report
from tests.runtime.health.test_trees import CASES, FOLDER, take


def series(snapshot: Snapshot) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what is exposed, by name and labels; nothing may be there twice."""
    found = [
        ((metric.name, labels), value)
        for metric, readings in snapshot.readings.items()
        for labels, value in readings
    ]
    assert len({key for key, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize("case", CASES)
def test_every_reading_that_is_believed_is_exposed(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every tree, each reading with a value has one series, and each other none."""
    expect = json.loads((FOLDER / case / "expect.json").read_text())
    report = take(FOLDER / case, tmp_path, monkeypatch, expect)
    snapshot = Snapshot()
    read_report(report, snapshot)
    exposed = series(snapshot)
    names = [labels[0] for metric, labels in exposed if labels and "limit" not in metric]
    for reading in report.readings:
        if reading.believed and reading.quality is not Quality.ESTIMATED:
            found = metric_of(reading)
            assert found is not None, reading
            metric, factor = found
            (labels,) = (
                key[1] for key in exposed if key[0] == metric.name and key[1][0] == reading.name
            )
            assert exposed[metric.name, labels] == pytest.approx(reading.value * factor)
        elif not reading.believed:
            kinds = {
                each.kind for each in report.readings if each.name == reading.name and each.believed
            }
            assert reading.name not in names or kinds
    counts = sum(value for (name, _), value in exposed.items() if name == "edgeconsole_sensors")
    assert counts == len(report.readings)


def test_units_are_base_units() -> None:
    """MHz, %, µs and Wh become hertz, ratios, seconds and joules; limits go with temperatures."""
    readings = (
        (SensorKind.FREQUENCY, "cpu0", 1800.0, "MHz"),
        (SensorKind.CPU, "busy", 25.0, "%"),
        (SensorKind.PSI, "cpu.some.total", 1_500_000.0, "µs"),
        (SensorKind.BATTERY, "BAT0/energy", 2.0, "Wh"),
        (SensorKind.THROTTLE, "package-0/package_throttle_count", 7.0, "1"),
        (SensorKind.THROTTLE, "vcgencmd/throttled", 1.0, "1"),
        (SensorKind.DISK, "room/free", 5.0, "B"),
        (SensorKind.DISK, "sda/read", 6.0, "B"),
    )
    made = [
        SensorReading(kind=kind, name=name, value=value, unit=unit, quality=Quality.MEASURED)
        for kind, name, value, unit in readings
    ]
    hot = SensorReading(
        kind=SensorKind.TEMPERATURE,
        name="z",
        value=50.0,
        unit="°C",
        quality=Quality.MEASURED,
        limits={"critical": 105.0},
        age_s=3.0,
    )
    snapshot = Snapshot()
    read_report(SensorReport((*made, hot)), snapshot)
    exposed = series(snapshot)
    assert exposed["edgeconsole_frequency_hertz", ("cpu0",)] == 1.8e9
    assert exposed["edgeconsole_cpu_ratio", ("busy",)] == 0.25
    assert exposed["edgeconsole_pressure_seconds_total", ("cpu.some.total",)] == 1.5
    assert exposed["edgeconsole_battery_joules", ("BAT0/energy",)] == 7200.0
    events = "edgeconsole_throttle_events_total"
    assert exposed[events, ("package-0/package_throttle_count",)] == 7.0
    assert exposed["edgeconsole_throttled", ("vcgencmd/throttled",)] == 1.0
    assert exposed["edgeconsole_disk_room_bytes", ("room/free",)] == 5.0
    assert exposed["edgeconsole_disk_bytes_total", ("sda/read",)] == 6.0
    assert exposed["edgeconsole_temperature_limit_celsius", ("z", "critical")] == 105.0
    assert exposed["edgeconsole_sensor_age_seconds", ()] == 3.0


def test_before_the_first_reading_nothing_is_claimed() -> None:
    """A monitor that has read nothing exposes no value, not even an age."""
    snapshot = Snapshot()
    read_monitor(EdgeResourceMonitor(also=[]), snapshot)
    assert series(snapshot) == {}
