"""A simulated device's heat: a die and a heat sink, two resistances and two capacities. Pure.

The two-node RC network of thermal design: the die follows the power within seconds, the sink within
minutes. For the demo and for tests of the policy; nothing of it is ever shown as measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_STEP_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """A device: °C, W, K/W and seconds."""

    ambient_c: float = 25.0
    die_k_per_w: float = 1.5
    die_tau_s: float = 5.0
    sink_k_per_w: float = 4.0
    sink_tau_s: float = 120.0
    idle_w: float = 2.0
    joules_each: float = 0.01
    """What one inference costs."""
    most_w: float = 15.0
    """The device draws no more than this."""

    def power_w(self, rate_per_s: float) -> float:
        """Return what it draws at a rate of inferences."""
        return min(self.most_w, self.idle_w + self.joules_each * rate_per_s)

    def steady_c(self, rate_per_s: float) -> float:
        """Return where the die ends up at a constant rate."""
        return self.ambient_c + self.power_w(rate_per_s) * (self.die_k_per_w + self.sink_k_per_w)


@dataclass(frozen=True, slots=True)
class Plant:
    """A device's temperatures."""

    die_c: float
    sink_c: float

    @classmethod
    def idle(cls, spec: PlantSpec) -> Plant:
        """Return a device that has idled for long."""
        sink_c = spec.ambient_c + spec.idle_w * spec.sink_k_per_w
        return cls(sink_c + spec.idle_w * spec.die_k_per_w, sink_c)

    def after(self, spec: PlantSpec, power_w: float, seconds: float) -> Plant:
        """Return the temperatures after so long at a power; explicit steps of at most 0.1 s."""
        steps = max(1, math.ceil(seconds / _STEP_S))
        dt_s = seconds / steps
        die_c, sink_c = self.die_c, self.sink_c
        sink_j_per_k = spec.sink_tau_s / spec.sink_k_per_w
        die_j_per_k = spec.die_tau_s / spec.die_k_per_w
        for _ in range(steps):
            across_w = (die_c - sink_c) / spec.die_k_per_w
            away_w = (sink_c - spec.ambient_c) / spec.sink_k_per_w
            die_c += dt_s * (power_w - across_w) / die_j_per_k
            sink_c += dt_s * (across_w - away_w) / sink_j_per_k
        return replace(self, die_c=die_c, sink_c=sink_c)
