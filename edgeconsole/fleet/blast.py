"""How far an order reaches, and how hard it must be to give it. Pure; no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgeconsole.fleet.orders import THERMAL_KINDS, OrderKind
from edgeconsole.fleet.store import DeviceView, LinkState
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceSample

MANY: Final = 10
"""From so many devices on, their number has to be typed."""
SHARE: Final = 0.25
"""More than this part of a fleet is as much as many."""
_LEAST_FLEET: Final = 8
"""In smaller fleets a quarter is a device or two."""


class Effort(Enum):
    """What an operator has to do before an order is given; each asks for all before it."""

    KEY = 1
    """See it and confirm."""
    REASON = 2
    """Say why."""
    NUMBER = 3
    """Type the number of devices."""


@dataclass(frozen=True, slots=True)
class Blast:
    """What an order would reach."""

    kind: OrderKind
    devices: tuple[str, ...]
    sites: tuple[tuple[str, int], ...]
    """Sites with the number of devices, the most first."""
    offline: tuple[str, ...]
    """Devices that get it at their next contact, if that comes in time."""
    lacking: tuple[tuple[str, str], ...]
    """Devices that do not have what is forced, with the reason they give."""
    unheard: tuple[str, ...]
    """Devices that never said what they have."""
    held: tuple[tuple[str, str], ...]
    """Devices on which somebody has forced something already, with what and who."""
    effort: Effort
    because: str = ""
    """Why it takes more than a key."""


def blast(
    kind: OrderKind, model: str, targets: Sequence[DeviceView], fleet: Sequence[DeviceView]
) -> Blast:
    """Return what an order to `targets` would reach in `fleet`; an empty `model` is all."""
    sites = Counter(view.site for view in targets)
    all_sites = Counter(view.site for view in fleet)
    whole = tuple(name for name, count in sites.items() if name and count == all_sites[name] > 1)
    effort, because = _effort(len(targets), len(fleet), whole)
    return Blast(
        kind=kind,
        devices=tuple(view.id for view in targets),
        sites=tuple(sites.most_common()),
        offline=tuple(view.id for view in targets if view.link is not LinkState.LIVE),
        lacking=tuple(
            (view.id, lack) for view in targets for lack in lacks(kind, model, view.sample)
        ),
        unheard=tuple(view.id for view in targets if view.sample is None),
        held=tuple(held for view in targets for held in _held(kind, model, view)),
        effort=effort,
        because=because,
    )


def _effort(count: int, fleet: int, whole_sites: tuple[str, ...]) -> tuple[Effort, str]:
    if count == 1:
        return Effort.KEY, ""
    if count >= MANY:
        return Effort.NUMBER, f"{count} devices at once"
    if whole_sites:
        return Effort.NUMBER, f"every device of {', '.join(whole_sites)}"
    if fleet >= _LEAST_FLEET and count > fleet * SHARE:
        return Effort.NUMBER, f"{count} of {fleet} devices"
    return Effort.REASON, "more than one device"


_NEEDS: Final = {OverrideKind.FAILSAFE: Rung.STATIC, OverrideKind.FALLBACK: Rung.FALLBACK}


def lacks(kind: OrderKind, model: str, sample: DeviceSample | None) -> list[str]:
    """Return each route of a device that does not have the rung that is to be forced, and why.

    Where a thermal state is to be forced, whether it has a thermal policy at all.
    """
    if kind in THERMAL_KINDS and sample is not None and sample.thermal is None:
        return ["thermal policy (the agent is older)"]
    forces = kind.forces
    wanted = None if forces is None else _NEEDS.get(forces)
    if wanted is None or sample is None:
        return []
    return [
        f"{route.model}: {rung.reason or 'it does not say why'}"
        for route in sample.routes
        for rung in route.rungs
        if model in ("", route.model) and rung.rung is wanted and not rung.available
    ]


def _held(kind: OrderKind, model: str, view: DeviceView) -> list[tuple[str, str]]:
    if view.sample is None:
        return []
    if kind in THERMAL_KINDS:
        heat = view.sample.thermal
        held = None if heat is None else heat.override
        return [] if held is None else [(view.id, f"{held.state} by {held.actor}")]
    overrides = {
        (route.override.kind, route.override.actor): None
        for route in view.sample.routes
        if route.override is not None and model in ("", route.model)
    }
    return [(view.id, f"{forced.value} by {actor}") for forced, actor in overrides]
