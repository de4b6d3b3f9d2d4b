"""Power from energy counters, which wrap around and are reset. Pure."""

from __future__ import annotations

from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.round import Count, Round

MIN_INTERVAL_S: Final = 0.2
MAX_PLAUSIBLE_W: Final = 2000.0
"""A counter that was reset looks like a wrap; no edge device draws so much."""
NEEDS_SECOND: Final = "needs a second reading of the counter"


def watts_between(
    before: Count | None, after: Count, wraps_at_j: float = 0.0
) -> tuple[float | None, str]:
    """Return the mean power between two counts in J, or `None` and the reason."""
    if before is None:
        return None, NEEDS_SECOND
    seconds = after.at_s - before.at_s
    if seconds < MIN_INTERVAL_S:
        return None, NEEDS_SECOND
    joules = after.value - before.value
    if joules < 0:
        joules += wraps_at_j
    watts = joules / seconds
    if not 0.0 <= watts <= MAX_PLAUSIBLE_W:
        return None, "the energy counter was reset"
    return watts, ""


def power_of(
    round_: Round, name: str, energy: SensorReading, at_s: float, wraps_at_j: float = 0.0
) -> SensorReading:
    """Return the power behind an energy reading, and keep its count for the next round."""
    # Names of two channels may be the same; where they come from is not.
    key = f"{energy.source} {energy.name}"
    if energy.value is None:
        return round_.unknown(SensorKind.POWER, name, "W", energy.source, energy.reason)
    before = round_.before.get(key)
    watts, reason = watts_between(before, Count(at_s, energy.value), wraps_at_j)
    if before is not None and at_s - before.at_s < MIN_INTERVAL_S:
        round_.after[key] = before  # Too soon to tell: the next round compares with this one.
    else:
        round_.count(key, energy.value, at_s)
    return round_.reading(
        SensorKind.POWER, name, watts, "W", energy.source, quality=Quality.DERIVED, reason=reason
    )
