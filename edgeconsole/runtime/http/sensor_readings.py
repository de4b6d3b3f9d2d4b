"""Puts what the device measures into a scrape; what is unknown is not there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgeconsole.protocol.sensors import SensorKind, SensorReport
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor
from edgeconsole.runtime.http import sensor_metrics
from edgeconsole.runtime.http.sensor_metrics import metric_of

if TYPE_CHECKING:
    from edgeconsole.runtime.http.readings import Snapshot


def read_monitor(monitor: EdgeResourceMonitor, snapshot: Snapshot) -> None:
    """Read the latest round."""
    usage = monitor.latest
    temperature, power = usage.control_temperature, usage.control_power
    if temperature is not None and temperature.value is not None and temperature.believed:
        metric = sensor_metrics.CONTROL_TEMPERATURE
        snapshot.add(metric, (temperature.name,), temperature.value)
    if power is not None and power.value is not None and power.believed:
        labels = (power.name, power.quality.value)
        snapshot.add(sensor_metrics.CONTROL_POWER, labels, power.value)
    read_report(monitor.report(), snapshot)


def read_report(report: SensorReport, snapshot: Snapshot) -> None:
    """Read a report's readings; estimates are not among what is measured."""
    for reading in report.readings:
        found = metric_of(reading)
        if reading.quality is Quality.ESTIMATED and reading.kind is SensorKind.POWER:
            continue
        if found is None or reading.value is None or not reading.believed:
            continue
        metric, factor = found
        labels = (reading.name, *([reading.state] if "state" in metric.labels else []))
        snapshot.add(metric, labels, reading.value * factor)
        if reading.kind is SensorKind.TEMPERATURE:
            for limit, value in reading.limits.items():
                snapshot.add(sensor_metrics.TEMPERATURE_LIMIT, (reading.name, limit), value)
    counts = Counter((each.kind.value, each.quality.value) for each in report.readings)
    for kind_and_quality, count in counts.items():
        snapshot.add(sensor_metrics.SENSORS, kind_and_quality, float(count))
    if report.readings:
        age_s = max(each.age_s for each in report.readings)
        snapshot.add(sensor_metrics.SENSOR_AGE, (), age_s)
