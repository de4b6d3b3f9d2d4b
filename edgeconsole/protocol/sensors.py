"""What one sensor of a device says, and all of them together: `edgeconsole-agent sensors --json`.

The schema is described in docs/sensors.md; a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from edgeconsole.protocol.telemetry import Quality


class SensorKind(StrEnum):
    """What a reading is about."""

    TEMPERATURE = "temperature"
    POWER = "power"
    ENERGY = "energy"
    FREQUENCY = "frequency"
    FAN = "fan"
    BATTERY = "battery"
    SUPPLY = "supply"
    """Mains and USB: whether they feed the device."""
    COOLING = "cooling"
    """How far the kernel has turned a means of cooling on, throttling of processors among them."""
    THROTTLE = "throttle"
    """Counters of slow-downs, and bits that are 1 while one holds."""
    CPU = "cpu"
    CPU_QUOTA = "cpu_quota"
    GPU = "gpu"
    MEMORY = "memory"
    PSI = "psi"
    """Pressure stall information: how long tasks waited for a resource."""
    PIDS = "pids"
    DISK = "disk"
    NETWORK = "network"


class SensorReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading. Names are unique within a kind.

    `value` is `None` where nothing is known, and `reason` says why. A value of the quality
    `unknown` was read but is not believed; it has a reason too and is used for nothing.
    """

    kind: SensorKind
    name: str
    value: float | None = None
    unit: str = ""
    source: str = ""
    """The file, tool or library it came from."""
    quality: Quality = Quality.UNKNOWN
    reason: str = ""
    age_s: float = 0.0
    """Seconds since it was read."""
    limits: dict[str, float] = {}
    """By the kernel's name of the limit, in the reading's unit; what is not set is not there."""
    state: str = ""
    """What the sensor says in words, such as `Discharging` or `alarm`."""

    @property
    def believed(self) -> bool:
        """Say whether the value may be used."""
        return self.value is not None and self.quality is not Quality.UNKNOWN


class Control(msgspec.Struct, frozen=True):
    """The names of the readings that the agent acts on; `None`: there is none."""

    temperature: str | None = None
    power: str | None = None


class Totals(msgspec.Struct, frozen=True):
    """What the device draws, and what memory the agent is allowed; `None`: unknown."""

    power_w: float | None = None
    """Measured or derived; an estimate is never in it."""
    memory_limit_bytes: int | None = None
    """The control group's limit if one is set, else what the machine has."""


class SensorReport(msgspec.Struct, frozen=True):
    """All readings of one device at one moment."""

    readings: tuple[SensorReading, ...] = ()
    control: Control = Control()
    totals: Totals = Totals()

    def value(self, kind: SensorKind, name: str) -> float | None:
        """Return the value of the reading of that kind and name, if it may be used."""
        reading = self.find(kind, name)
        return reading.value if reading is not None and reading.believed else None

    def find(self, kind: SensorKind, name: str | None) -> SensorReading | None:
        """Return the reading of that kind and name, if there is one."""
        for reading in self.readings:
            if reading.kind is kind and reading.name == name:
                return reading
        return None
