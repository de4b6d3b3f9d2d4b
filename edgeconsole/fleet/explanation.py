"""Why a device answers as it does, as a value: what a screen and a script show of it."""

from __future__ import annotations

import msgspec

from edgeconsole.protocol.failsafe import RouteConditions, RouteSample, Transition
from edgeconsole.protocol.thermal import ThermalConditions, ThermalSample, ThermalTransition


class Explanation(msgspec.Struct, frozen=True):
    """What led to the present rungs, and what holds them."""

    device_id: str
    live: bool
    """Whether the device said so itself just now; if not, all of it is from the history."""
    note: str = ""
    """Why the device could not be asked."""
    ahead_s: float = 0.0
    """How far the device's clock is ahead of ours."""
    routes: tuple[RouteSample, ...] = ()
    """Where each route stands, or stood when the device was last heard."""
    conditions: tuple[RouteConditions, ...] = ()
    """What the latest decision of each route looked at."""
    transitions: tuple[Transition, ...] = ()
    """Newest first."""
    heat: ThermalSample | None = None
    """Where the thermal policy stands, or stood likewise; `None`: not said, or there is none."""
    age_s: float = 0.0
    """How long ago it said where it stands."""
    thermal: ThermalConditions | None = None
    """What its latest decision looked at."""
    thermal_transitions: tuple[ThermalTransition, ...] = ()
    """Newest first."""
