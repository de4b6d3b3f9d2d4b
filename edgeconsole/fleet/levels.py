"""How bad a device's condition is: pure rules from what is known of it to one level and its reason."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from edgeconsole.fleet.routes import drained, route_text, stopped
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceSample, ModelState
from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.specs import AgentState, FleetSpec

if TYPE_CHECKING:
    from edgeconsole.fleet.store import DeviceView

WARN_BUDGET: Final = 0.8
"""From this share of its deadline on, a p99 is a warning."""


class Freshness(StrEnum):
    """How old the latest sample is, in words."""

    LIVE = "live"
    STALE = "stale"
    GONE = "gone"
    NEVER = "never"


class Level(IntEnum):
    """How bad it is; the smaller, the worse, so that sorting puts the worst first."""

    CRITICAL = 0
    FAILSAFE = 1
    WARNING = 2
    STALE = 3
    GONE = 4
    UNKNOWN = 5
    """Never heard of since the console started."""
    OK = 6


def freshness_of(age_s: float | None, spec: FleetSpec) -> Freshness:
    """Return the freshness of a sample that is `age_s` old."""
    if age_s is None:
        return Freshness.NEVER
    if age_s >= spec.gone_after_s:
        return Freshness.GONE
    return Freshness.STALE if age_s >= spec.stale_after_s else Freshness.LIVE


def level_of(view: DeviceView) -> tuple[Level, str]:
    """Return a device's level and the reason for it."""
    sample = view.sample
    if view.freshness is Freshness.NEVER or sample is None:
        return Level.UNKNOWN, view.link_reason or "not heard of yet"
    if view.freshness is Freshness.GONE:
        return Level.GONE, view.link_reason or "silent"
    if view.freshness is Freshness.STALE:
        return Level.STALE, view.link_reason or "silent"
    return _bad(view, sample) or _near(view, sample) or (Level.OK, "")


def _bad(view: DeviceView, sample: DeviceSample) -> tuple[Level, str] | None:
    """Return what needs a person, or is less than the primary's answer."""
    temp_c = sample.temp_c.value
    route = view.route if view.route is not None and not drained(view.route) else None
    if route is not None and stopped(route):
        return Level.CRITICAL, route_text(route)
    if sample.state is AgentState.ERROR and route is None:
        return Level.CRITICAL, sample.reason or "a model cannot answer"
    if temp_c is not None and temp_c >= view.max_temp_c:
        return Level.CRITICAL, f"{temp_c:.0f} °C, limit {view.max_temp_c:.0f} °C"
    if route is not None:
        # Before the deadline: a primary that is late, or dead, is why it fell.
        return Level.FAILSAFE, route_text(route)
    heat = sample.thermal
    if heat is not None and heat.override is not None and not heat.override.ignored:
        held = heat.override
        return Level.FAILSAFE, f"heat: {held.state} forced by {held.actor}: {held.reason}"
    if view.budget is not None and view.budget > 1.0:
        return Level.CRITICAL, f"p99 is {view.budget:.0%} of the deadline"
    return None


def _near(view: DeviceView, sample: DeviceSample) -> tuple[Level, str] | None:
    """Return what is close to being bad, or not as usual."""
    temp_c, route = sample.temp_c.value, view.route
    if route is not None:
        return Level.WARNING, route_text(route)
    if sample.state in (AgentState.MAINTENANCE, AgentState.INITIALIZING):
        return Level.WARNING, sample.reason or sample.state.value
    heat = sample.thermal
    if heat is not None and heat.state is ThermalState.HOT:
        rate = heat.allowance.rate_per_s
        how = "" if rate is None else f", at most {rate:.3g} requests a second"
        return Level.WARNING, f"hot: {heat.reason}{how}"
    shedding = next((each for each in sample.routes if each.rung is Rung.SHED), None)
    if shedding is not None:
        what = f"priorities below {shedding.shed}" if shedding.shed else "some requests"
        return Level.WARNING, f"{shedding.model} refuses {what}"
    waiting = [model for model in sample.models if model.state is not ModelState.READY]
    if waiting:
        return Level.WARNING, f"{waiting[0].model} is {waiting[0].state.value}"
    if temp_c is not None and temp_c >= view.warn_temp_c:
        return Level.WARNING, f"{temp_c:.0f} °C, warning from {view.warn_temp_c:.0f} °C"
    if view.budget is not None and view.budget >= WARN_BUDGET:
        return Level.WARNING, f"p99 is {view.budget:.0%} of the deadline"
    return None
