"""What a manifest of captures says, word by word, against a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgeconsole.protocol.sensors import SensorKind, SensorReading, SensorReport
from edgeconsole.protocol.telemetry import Quality


class Checks:
    """One check for each word of the manifest; each yields what is wrong."""

    def __init__(self, report: SensorReport) -> None:
        self.report = report

    def named(self, kind: SensorKind, suffix: str) -> list[SensorReading]:
        """Return the readings whose name is, or ends in, what the manifest calls them."""
        pattern = re.compile(rf"(?:.*/|[a-z_]+(?=[0-9]))?{re.escape(suffix)}")
        return [
            each
            for each in self.report.readings
            if each.kind is kind and pattern.fullmatch(each.name)
        ]

    def equal(self, kind: SensorKind, name: str, wanted: float | None) -> Iterator[str]:
        """Compare one reading's value."""
        found = self.named(kind, name)
        if len(found) != 1:
            yield f"{kind} {name}: {len(found)} readings"
        elif wanted is None and found[0].value is not None:
            yield f"{kind} {name}: {found[0].value} should be unknown"
        elif wanted is not None and found[0].value != pytest.approx(wanted, rel=1e-9):
            yield f"{kind} {name}: {found[0].value}, expected {wanted}"

    def thermal_zones_c(self, wanted: dict[str, float]) -> Iterator[str]:
        """Zones are named by number and type."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.TEMPERATURE, name, value)

    def thermal_plausible(self, wanted: dict[str, str]) -> Iterator[str]:
        """What is implausible is not believed and controls nothing."""
        for name in wanted:
            (reading,) = self.named(SensorKind.TEMPERATURE, name)
            if reading.believed or self.report.control.temperature == reading.name:
                yield f"{name} is believed"

    def cooling(self, wanted: dict[str, list[float | None]]) -> Iterator[str]:
        """Cooling devices have a state, or none, and a maximum."""
        for name, (state, most) in wanted.items():
            yield from self.equal(SensorKind.COOLING, name, state)
            (reading,) = self.named(SensorKind.COOLING, name)
            if reading.limits.get("max") != most:
                yield f"{name}: max {reading.limits}"

    def rapl_energy_j(self, wanted: dict[str, float]) -> Iterator[str]:
        """Each domain is there once, and no other."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.ENERGY, name, value)
        found = {each.name for each in self.report.readings if each.kind is SensorKind.ENERGY}
        if found != wanted.keys():
            yield f"energies {found}"

    def rapl_max_j(self, wanted: float) -> Iterator[str]:
        """Counters wrap where the kernel says."""
        for each in self.report.readings:
            if each.kind is SensorKind.ENERGY and each.limits["wraps_at"] != pytest.approx(wanted):
                yield f"{each.name}: {each.limits}"

    def battery(self, wanted: dict[str, dict[str, Any]]) -> Iterator[str]:
        """A battery's figures and state."""
        names = {
            "capacity_pct": "capacity",
            "power_w": "power",
            "voltage_v": "voltage",
            "energy_wh": "energy",
            "energy_full_wh": "energy_full",
        }
        for battery, facts in wanted.items():
            for fact, value in facts.items():
                if fact in names:
                    yield from self.equal(SensorKind.BATTERY, f"{battery}/{names[fact]}", value)
            (capacity,) = self.named(SensorKind.BATTERY, f"{battery}/capacity")
            if capacity.state != facts["status"]:
                yield f"{battery}: {capacity.state}"

    def ac_online(self, wanted: int) -> Iterator[str]:
        """Whether mains feed it."""
        yield from self.equal(SensorKind.SUPPLY, "AC/online", wanted)

    def cpufreq_mhz(self, wanted: dict[str, float]) -> Iterator[str]:
        """Frequencies by processor."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.FREQUENCY, name, value)

    def cpufreq_max_mhz(self, wanted: dict[str, float]) -> Iterator[str]:
        """What the kernel allows now."""
        for name, value in wanted.items():
            (reading,) = self.named(SensorKind.FREQUENCY, name)
            if reading.limits["max"] != value:
                yield f"{name}: {reading.limits}"

    def core_throttle_count(self, wanted: dict[str, int]) -> Iterator[str]:
        """Counters of cores."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.THROTTLE, f"{name}/core_throttle_count", value)

    def package_throttle_count(self, wanted: dict[str, int]) -> Iterator[str]:
        """Counters of packages: each value is there, and no sum of them."""
        found = {each.value for each in self.named(SensorKind.THROTTLE, "package_throttle_count")}
        if found != set(wanted.values()):
            yield f"package counts {found}"

    def mem_total_bytes(self, wanted: int) -> Iterator[str]:
        """The machine's memory, which is the limit unless a group's is smaller."""
        yield from self.equal(SensorKind.MEMORY, "total", wanted)
        if self.report.totals.memory_limit_bytes != wanted:
            yield f"limit {self.report.totals.memory_limit_bytes}"

    def mem_available_bytes(self, wanted: int | str) -> Iterator[str]:
        """Measured, or an estimate that says so."""
        if isinstance(wanted, int):
            yield from self.equal(SensorKind.MEMORY, "available", wanted)
            return
        (reading,) = self.named(SensorKind.MEMORY, "available")
        if reading.quality is not Quality.ESTIMATED or "no MemAvailable" not in reading.reason:
            yield f"available: {reading}"

    def psi(self, wanted: dict[str, Any]) -> Iterator[str]:
        """Averages and totals by name; a group's are under `cgroup.`."""
        prefix = "cgroup." if self.named(SensorKind.PSI, "cgroup.memory.some.total") else ""
        for name, values in wanted.items():
            if values is None:
                if self.named(SensorKind.PSI, f"{name}.avg10"):
                    yield f"{name} is there"
            elif isinstance(values, list):
                for part, value in zip(("avg10", "avg60", "avg300", "total"), values, strict=True):
                    yield from self.equal(SensorKind.PSI, f"{name}.{part}", value)
            else:
                yield from self.equal(SensorKind.PSI, f"{prefix}{name}", values)

    def psi_total_s(self, wanted: dict[str, float]) -> Iterator[str]:
        """Totals, which the kernel counts in µs."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.PSI, f"{name}.total", value * 1e6)

    def amdgpu(self, wanted: dict[str, dict[str, float]]) -> Iterator[str]:
        """A card's load, memory and clock."""
        for card, facts in wanted.items():
            yield from self.equal(SensorKind.GPU, f"{card}/busy", facts["busy_pct"])
            yield from self.equal(SensorKind.GPU, f"{card}/vram_used", facts["vram_used"])
            yield from self.equal(SensorKind.GPU, f"{card}/vram_total", facts["vram_total"])
            clock = facts["sclk_mhz_current"]
            yield from self.equal(SensorKind.FREQUENCY, f"{card}/sclk", clock)

    def hwmon_temp_c(self, wanted: dict[str, dict[str, float]]) -> Iterator[str]:
        """Chips' temperatures by file; no chip that the class does not list."""
        for chip, values in wanted.items():
            for channel, value in values.items():
                found = [
                    each for each in self.chip(chip) if each.source.endswith(f"{channel}_input")
                ]
                if [each.value for each in found] != [value]:
                    yield f"{chip}/{channel}: {found}"
        chips = {
            each.name.partition("/")[0] for each in self.temperatures() if "zone" not in each.name
        }
        if chips != wanted.keys():
            yield f"chips {chips}"

    def hwmon_crit_c(self, wanted: dict[str, float]) -> Iterator[str]:
        """Chips' critical limits."""
        yield from self.limits("crit", wanted)

    def hwmon_max_c(self, wanted: dict[str, float]) -> Iterator[str]:
        """Chips' upper limits."""
        yield from self.limits("max", wanted)

    def limits(self, limit: str, wanted: dict[str, float]) -> Iterator[str]:
        """Compare a limit of all of a chip's temperatures."""
        for chip, value in wanted.items():
            if {each.limits[limit] for each in self.chip(chip)} != {value}:
                yield f"{chip}: {limit}"

    def temperatures(self) -> list[SensorReading]:
        """Return all temperatures."""
        return [each for each in self.report.readings if each.kind is SensorKind.TEMPERATURE]

    def chip(self, name: str) -> list[SensorReading]:
        """Return a chip's temperatures."""
        return [each for each in self.temperatures() if each.name.startswith(f"{name}/")]

    def temp_c(self, wanted: dict[str, float]) -> Iterator[str]:
        """Temperatures by chip and label, and no other."""
        found = {each.name: each.value for each in self.temperatures()}
        if found != {name: pytest.approx(value) for name, value in wanted.items()}:
            yield f"temperatures {found}"

    def cpu_temp_c(self, wanted: float) -> Iterator[str]:
        """The control sensor's temperature."""
        value = self.report.value(SensorKind.TEMPERATURE, self.report.control.temperature or "")
        if value != pytest.approx(wanted):
            yield f"control {self.report.control.temperature}: {value}"

    def fan_rpm(self, wanted: dict[str, float]) -> Iterator[str]:
        """Fans."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.FAN, name, value)

    def rail_w(self, wanted: dict[str, Any] | str) -> Iterator[str]:
        """Powers by rail, and no other that has a value."""
        if isinstance(wanted, str) or not wanted:
            yield from self.must_be_unknown(wanted=True)
            return
        for name, value in wanted.items():
            likely = value if isinstance(value, list) else [value]
            (reading,) = self.named(SensorKind.POWER, name)
            if reading.value not in [
                None if each is None else pytest.approx(each) for each in likely
            ]:
                yield f"{name}: {reading.value}, expected {value}"
        powers = [each for each in self.report.readings if each.kind is SensorKind.POWER]
        known = [each for each in powers if each.value is not None and each.name != "total"]
        if len(known) != sum(value is not None for value in wanted.values()):
            yield f"powers {[each.name for each in known]}"

    def must_be_unknown(self, *, wanted: bool) -> Iterator[str]:
        """No power has a value, and each says why."""
        for each in self.report.readings:
            if each.kind is SensorKind.POWER and (each.value is not None or not each.reason):
                yield f"{each.name}: {each.value} {each.reason} {wanted}"

    def energy_j(self, wanted: dict[str, float]) -> Iterator[str]:
        """Energies by label, and no other."""
        for name, value in wanted.items():
            yield from self.equal(SensorKind.ENERGY, name, value)
        found = [each for each in self.report.readings if each.kind is SensorKind.ENERGY]
        if len(found) != len(wanted):
            yield f"energies {found}"

    def memory_limit_bytes(self, wanted: int) -> Iterator[str]:
        """The group's limit is the limit."""
        if self.report.totals.memory_limit_bytes != wanted:
            yield f"limit {self.report.totals.memory_limit_bytes}"

    def memory_current_bytes(self, wanted: int) -> Iterator[str]:
        """What the group uses."""
        yield from self.equal(SensorKind.MEMORY, "cgroup/current", wanted)

    def memory_high(self, wanted: None) -> Iterator[str]:
        """`max` is no limit."""
        yield from self.equal(SensorKind.MEMORY, "cgroup/high", wanted)

    def cpu_limit_cores(self, wanted: float) -> Iterator[str]:
        """The quota."""
        yield from self.equal(SensorKind.CPU_QUOTA, "cgroup/limit", wanted)

    def throttled_periods(self, wanted: int) -> Iterator[str]:
        """How often the quota held."""
        yield from self.equal(SensorKind.THROTTLE, "cgroup/nr_throttled", wanted)

    def oom_kill(self, wanted: int) -> Iterator[str]:
        """How often memory ran out."""
        yield from self.equal(SensorKind.MEMORY, "cgroup/oom_kill", wanted)

    def pids_max(self, wanted: int) -> Iterator[str]:
        """The limit of tasks."""
        yield from self.equal(SensorKind.PIDS, "cgroup/limit", wanted)

    def pids_current(self, wanted: int) -> Iterator[str]:
        """The tasks there are."""
        yield from self.equal(SensorKind.PIDS, "cgroup/current", wanted)

    def total_domains(self, wanted: list[str]) -> Iterator[str]:
        """After a second reading the total is of these; checked in its own test."""
        if not wanted:
            yield "no domains"

    def limits_text(self, wanted: str) -> Iterator[str]:
        """Placeholders are no limits."""
        absent = {float(number) for number in re.findall(r"-?[0-9]+\.[0-9]+", wanted)}
        for each in self.temperatures():
            if absent & set(each.limits.values()):
                yield f"{each.name}: {each.limits}"
