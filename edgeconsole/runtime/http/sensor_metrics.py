"""The metrics of what the device measures: their names, and which reading goes into which. No values here."""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.http.metric import Kind, Metric

_NAME: Final = ("name",)
_EVENTS: Final = re.compile(r".*/(?:[a-z]+_throttle_count|nr_throttled)")

CONTROL_TEMPERATURE: Final = Metric(
    "edgeconsole_control_temperature_celsius",
    Kind.GAUGE,
    _NAME,
    "celsius",
    "The temperature the agent acts on; absent while it is unknown",
)
CONTROL_POWER: Final = Metric(
    "edgeconsole_control_power_watts",
    Kind.GAUGE,
    ("name", "quality"),
    "watts",
    "The power the agent acts on; absent while it is unknown",
)
SENSORS: Final = Metric(
    "edgeconsole_sensors", Kind.GAUGE, ("kind", "quality"), "readings", "Readings by their quality"
)
SENSOR_AGE: Final = Metric(
    "edgeconsole_sensor_age_seconds",
    Kind.GAUGE,
    (),
    "seconds",
    "Time since the oldest of the readings was read; absent before the first",
)
TEMPERATURE_LIMIT: Final = Metric(
    "edgeconsole_temperature_limit_celsius",
    Kind.GAUGE,
    ("name", "limit"),
    "celsius",
    "Limits of a temperature by the kernel's name for them; absent where they are not set",
)
_ONE: Final[dict[tuple[SensorKind, str], tuple[Metric, float]]] = {
    (SensorKind.TEMPERATURE, "°C"): (
        Metric(
            "edgeconsole_temperature_celsius",
            Kind.GAUGE,
            _NAME,
            "celsius",
            "Temperatures that are believed",
        ),
        1.0,
    ),
    (SensorKind.POWER, "W"): (
        Metric(
            "edgeconsole_power_watts",
            Kind.GAUGE,
            _NAME,
            "watts",
            "Power of rails, packages and GPUs; they overlap, so do not add them up",
        ),
        1.0,
    ),
    (SensorKind.ENERGY, "J"): (
        Metric(
            "edgeconsole_energy_joules_total",
            Kind.COUNTER,
            _NAME,
            "joules",
            "Energy counters as the kernel has them: they wrap around",
        ),
        1.0,
    ),
    (SensorKind.FREQUENCY, "MHz"): (
        Metric(
            "edgeconsole_frequency_hertz", Kind.GAUGE, _NAME, "hertz", "Frequencies of processors"
        ),
        1e6,
    ),
    (SensorKind.FAN, "rpm"): (
        Metric("edgeconsole_fan_rpm", Kind.GAUGE, _NAME, "rpm", "Turns of fans in a minute"),
        1.0,
    ),
    (SensorKind.FAN, "%"): (
        Metric("edgeconsole_fan_ratio", Kind.GAUGE, _NAME, "1", "Speed of fans that tell a share"),
        0.01,
    ),
    (SensorKind.BATTERY, "%"): (
        Metric("edgeconsole_battery_ratio", Kind.GAUGE, _NAME, "1", "Charge of batteries"),
        0.01,
    ),
    (SensorKind.BATTERY, "W"): (
        Metric(
            "edgeconsole_battery_watts",
            Kind.GAUGE,
            ("name", "state"),
            "watts",
            "Power into or out of batteries; the state says which",
        ),
        1.0,
    ),
    (SensorKind.BATTERY, "V"): (
        Metric("edgeconsole_battery_volts", Kind.GAUGE, _NAME, "volts", "Voltage of batteries"),
        1.0,
    ),
    (SensorKind.BATTERY, "Wh"): (
        Metric("edgeconsole_battery_joules", Kind.GAUGE, _NAME, "joules", "Energy in batteries"),
        3600.0,
    ),
    (SensorKind.BATTERY, "Ah"): (
        Metric(
            "edgeconsole_battery_coulombs", Kind.GAUGE, _NAME, "coulombs", "Charge in batteries"
        ),
        3600.0,
    ),
    (SensorKind.SUPPLY, "1"): (
        Metric(
            "edgeconsole_supply_online",
            Kind.GAUGE,
            _NAME,
            "1",
            "Above 0 while a supply feeds the device",
        ),
        1.0,
    ),
    (SensorKind.COOLING, "1"): (
        Metric(
            "edgeconsole_cooling_state",
            Kind.GAUGE,
            _NAME,
            "1",
            "How far the kernel has turned a means of cooling on; 0 is off",
        ),
        1.0,
    ),
    (SensorKind.THROTTLE, "1"): (
        Metric(
            "edgeconsole_throttled",
            Kind.GAUGE,
            _NAME,
            "1",
            "1 while a reason to run slower holds, or did since boot",
        ),
        1.0,
    ),
    (SensorKind.THROTTLE, "µs"): (
        Metric(
            "edgeconsole_throttled_seconds_total",
            Kind.COUNTER,
            _NAME,
            "seconds",
            "Time the CPU quota held tasks back",
        ),
        1e-6,
    ),
    (SensorKind.CPU, "%"): (
        Metric(
            "edgeconsole_cpu_ratio",
            Kind.GAUGE,
            _NAME,
            "1",
            "Shares of processor time; busy is all but idle and iowait",
        ),
        0.01,
    ),
    (SensorKind.CPU_QUOTA, "cores"): (
        Metric(
            "edgeconsole_cpu_quota_cores",
            Kind.GAUGE,
            _NAME,
            "cores",
            "The control group's quota; absent without one",
        ),
        1.0,
    ),
    (SensorKind.GPU, "%"): (
        Metric("edgeconsole_gpu_ratio", Kind.GAUGE, _NAME, "1", "How busy GPUs are"),
        0.01,
    ),
    (SensorKind.GPU, "B"): (
        Metric("edgeconsole_gpu_memory_bytes", Kind.GAUGE, _NAME, "bytes", "Memory of GPUs"),
        1.0,
    ),
    (SensorKind.MEMORY, "B"): (
        Metric(
            "edgeconsole_memory_bytes",
            Kind.GAUGE,
            _NAME,
            "bytes",
            "The system's memory and the control group's; absent without a limit",
        ),
        1.0,
    ),
    (SensorKind.MEMORY, "1"): (
        Metric(
            "edgeconsole_memory_events_total",
            Kind.COUNTER,
            _NAME,
            "events",
            "Processes of the control group that were ended for want of memory",
        ),
        1.0,
    ),
    (SensorKind.PSI, "%"): (
        Metric(
            "edgeconsole_pressure_ratio",
            Kind.GAUGE,
            _NAME,
            "1",
            "Shares of time tasks waited for a resource",
        ),
        0.01,
    ),
    (SensorKind.PSI, "µs"): (
        Metric(
            "edgeconsole_pressure_seconds_total",
            Kind.COUNTER,
            _NAME,
            "seconds",
            "Time tasks waited for a resource",
        ),
        1e-6,
    ),
    (SensorKind.PIDS, "1"): (
        Metric(
            "edgeconsole_pids",
            Kind.GAUGE,
            _NAME,
            "tasks",
            "Tasks of the control group, and their limit; absent without one",
        ),
        1.0,
    ),
    (SensorKind.DISK, "B"): (
        Metric(
            "edgeconsole_disk_bytes_total",
            Kind.COUNTER,
            _NAME,
            "bytes",
            "Bytes read from and written to disks since boot",
        ),
        1.0,
    ),
    (SensorKind.DISK, "%"): (
        Metric(
            "edgeconsole_disk_busy_ratio", Kind.GAUGE, _NAME, "1", "Share of time disks were busy"
        ),
        0.01,
    ),
    (SensorKind.NETWORK, "B"): (
        Metric(
            "edgeconsole_network_bytes_total",
            Kind.COUNTER,
            _NAME,
            "bytes",
            "Bytes received and sent by interface",
        ),
        1.0,
    ),
    (SensorKind.NETWORK, "1"): (
        Metric(
            "edgeconsole_network_problems_total",
            Kind.COUNTER,
            _NAME,
            "packets",
            "Packets with errors or dropped, by interface",
        ),
        1.0,
    ),
}
"""By kind and unit: the metric, and how many of its units are one of the reading's."""
_THROTTLE_EVENTS: Final = Metric(
    "edgeconsole_throttle_events_total",
    Kind.COUNTER,
    _NAME,
    "events",
    "How often cores, packages or the control group were slowed down",
)
_ROOM: Final = Metric(
    "edgeconsole_disk_room_bytes",
    Kind.GAUGE,
    _NAME,
    "bytes",
    "Size of the file system with the agent's state, and what is free of it",
)

SENSOR_METRICS: Final[tuple[Metric, ...]] = (
    CONTROL_TEMPERATURE,
    CONTROL_POWER,
    SENSORS,
    SENSOR_AGE,
    TEMPERATURE_LIMIT,
    *(metric for metric, _ in _ONE.values()),
    _THROTTLE_EVENTS,
    _ROOM,
)


def metric_of(reading: SensorReading) -> tuple[Metric, float] | None:
    """Return the metric a reading goes into, and what its value is times; `None` if there is none."""
    if reading.kind is SensorKind.THROTTLE and _EVENTS.fullmatch(reading.name):
        return _THROTTLE_EVENTS, 1.0
    if reading.kind is SensorKind.DISK and reading.name.startswith("room/"):
        return _ROOM, 1.0
    return _ONE.get((reading.kind, reading.unit))
