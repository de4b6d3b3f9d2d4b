"""How a model's route stands on the failsafe ladder, in words. Pure; no clock, no I/O."""

from __future__ import annotations

from edgeconsole.durations import duration_text
from edgeconsole.protocol.failsafe import BreakerPhase, OverrideKind, RouteSample, RungSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceSample


def degraded(route: RouteSample) -> bool:
    """Say whether its answers are not the primary's own, or there are none."""
    return route.rung.depth >= Rung.FALLBACK.depth


def stopped(route: RouteSample) -> bool:
    """Say whether it refuses, and nobody asked it to."""
    return route.rung is Rung.STOP and route.override is None


def worst_route(sample: DeviceSample | None) -> RouteSample | None:
    """Return the route that is furthest down or forced; `None` if there is none."""
    if sample is None:
        return None
    fallen = [each for each in sample.routes if degraded(each) or each.override or each.latched]
    return max(fallen, key=lambda each: (stopped(each), each.rung.depth), default=None)


def rung_of(route: RouteSample) -> RungSample | None:
    """Return what the device says of the rung that answers now."""
    return next((each for each in route.rungs if each.rung is route.rung), None)


def answering(route: RouteSample) -> str:
    """Return who answers now: `fallback tiny/int8`, `static`."""
    rung = rung_of(route)
    if rung is None or not rung.model or route.rung is Rung.PRIMARY:
        return route.rung.value
    return f"{route.rung.value} {rung.model}{f'/{rung.variant}' if rung.variant else ''}"


def why_text(route: RouteSample) -> str:
    """Return in one phrase what put it there and what holds it."""
    override = route.override
    if override is not None:
        return f"{override.kind.value} forced by {override.actor}: {override.reason}"
    parts = [route.reason or route.cause.replace("_", " ")]
    if route.breaker is not BreakerPhase.CLOSED and "breaker" not in parts[0]:
        parts.append(f"breaker {route.breaker.value.replace('_', ' ')}")
    if route.alarm:
        parts.append(f"ALARM: {route.alarm}")
    return ", ".join(part for part in parts if part)


def route_text(route: RouteSample) -> str:
    """Return a route in one phrase: model, who answers, for how long, why."""
    why = why_text(route)
    return f"{route.model}: {answering(route)} for {held_text(route)}{f', {why}' if why else ''}"


def held_text(route: RouteSample) -> str:
    """Return for how long it has stood there, in seconds, minutes or hours with minutes."""
    coarse = 1 if route.held_s < 60 else 60
    return duration_text(route.held_s // coarse * coarse)


def drained(route: RouteSample) -> bool:
    """Say whether somebody keeps it from answering on purpose."""
    return route.override is not None and route.override.kind is OverrideKind.MAINTENANCE
