"""How far constraints must give way to let a variant pass, as one would ask for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgeconsole.protocol.optimization import Constraints
from edgeconsole.runtime.optimizer.figures import number, round_up, round_up_short
from edgeconsole.runtime.optimizer.gates import Breach


@dataclass(frozen=True, slots=True)
class Wider:
    """Constraints that let a variant pass, and the flags that ask for them."""

    constraints: Constraints
    flags: str


def widen(constraints: Constraints, broken: Sequence[Breach]) -> Wider | None:
    """Return the constraints without these breaches; `None` if what is unknown breaks them.

    Bounds are rounded up to numbers that a person would type.
    """
    bounds: dict[str, float] = {}
    flags = []
    for each in broken:
        if each.needed is None:
            return None
        bounds[each.gate], flag = _bound(each.gate, each.needed)
        flags.append(flag)
    return Wider(msgspec.structs.replace(constraints, **bounds), " and ".join(flags))


def _bound(gate: str, needed: float) -> tuple[float, str]:
    match gate:
        case "max_drop":
            bound = round_up(needed, 1)
            return bound, f"--max-drop {bound:.1f}"
        case "max_p99_ms":
            bound = round_up_short(needed)
            return bound, f"--max-p99-ms {number(bound)}"
        case _:
            mib = round_up_short(needed / 2**20)
            flag = "--" + gate.replace("_", "-").replace("bytes", "mb")
            return math.ceil(mib * 2**20), f"{flag} {number(mib)}"
