"""What follows from all readings together: control sensors and totals. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeconsole.protocol.sensors import Control, SensorKind, SensorReading, SensorReport, Totals
from edgeconsole.runtime.health.sensors.control import choose_temperature
from edgeconsole.runtime.health.sensors.estimate import estimate_power
from edgeconsole.runtime.health.sensors.total_power import total_power
from edgeconsole.specs import HealthConfig


@dataclass(frozen=True, slots=True)
class Made:
    """A report, the readings the agent acts on, and what to stay with in the next round."""

    report: SensorReport
    temperature: SensorReading
    power: SensorReading
    held_tier: int | None


def make_report(
    readings: Iterable[SensorReading],
    config: HealthConfig = HealthConfig(),  # noqa: B008 - immutable
    held_tier: int | None = None,
) -> Made:
    """Choose the control sensors and add up.

    An estimate is the control power only where nothing measures any, and is in no total.
    """
    found = tuple(readings)
    choice = choose_temperature(found, config.control_temperature, held_tier)
    total = total_power(found, config.control_power)
    estimate = estimate_power(found, config.power_estimate)
    added = [each for each in (choice.reading, total) if each not in found]
    if estimate is not None:
        added.append(estimate)
    power = estimate if estimate is not None and estimate.believed and not total.believed else total
    report = SensorReport(
        readings=(*found, *added),
        control=Control(choice.name, power.name if power.believed else None),
        totals=Totals(total.value if total.believed else None, memory_limit(found)),
    )
    return Made(report, choice.reading, power, choice.tier)


def memory_limit(readings: Iterable[SensorReading]) -> int | None:
    """Return the control group's limit if one is set, else what the machine has."""
    sizes = {each.name: each.value for each in readings if each.kind is SensorKind.MEMORY}
    limit = sizes.get("cgroup/limit") or sizes.get("total")
    return None if limit is None else int(limit)
