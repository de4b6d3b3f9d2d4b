"""A simulated device's heat: the plant in a room that warms and cools, heated by the agent's work.

Everything it says has the quality `simulated`; nothing of it is ever shown as measured.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.runtime.health.thermal_plant import Plant, PlantSpec
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.specs import SimulatedHeat

SENSOR: Final = "simulated die"
_SOURCE: Final = "a simulated device ([simulated_heat])"
_FULL_W: Final = 1e-9


class SimulatedDevice:
    """One simulated device. Times are its own seconds, which may pass faster than ours."""

    def __init__(self, spec: SimulatedHeat) -> None:
        self._spec = spec
        self._room = PlantSpec(
            ambient_c=spec.ambient_c,
            die_k_per_w=spec.die_k_per_w,
            die_tau_s=spec.die_tau_s,
            sink_k_per_w=spec.sink_k_per_w,
            sink_tau_s=spec.sink_tau_s,
            idle_w=spec.idle_w,
            joules_each=spec.joules_each,
            most_w=spec.most_w,
        )
        self._plant = Plant.idle(self._room)
        self._at_s: float | None = None
        self._begun_s = 0.0
        self.power_w = spec.idle_w

    def read(self, rate_per_s: float, now_s: float) -> ThermalReading:
        """Let time pass at a rate of requests, and read the die."""
        if self._at_s is None:
            self._begun_s = now_s
        else:
            self.power_w = self._room.power_w(rate_per_s)
            room = replace(self._room, ambient_c=self.ambient_c(now_s - self._begun_s))
            self._plant = self._plant.after(room, self.power_w, max(0.0, now_s - self._at_s))
        self._at_s = now_s
        span_w = self._spec.most_w - self._spec.idle_w
        load = (self.power_w - self._spec.idle_w) / max(span_w, _FULL_W)
        return ThermalReading(
            temp_c=round(self._plant.die_c, 2),
            sensor=SENSOR,
            passive_c=self._spec.limit_c,
            power_w=round(self.power_w, 3),
            load=min(1.0, max(0.0, load)),
            rate_per_s=rate_per_s,
            simulated=True,
        )

    def ambient_c(self, passed_s: float) -> float:
        """Return how warm the room is; it begins at the bottom of the wave."""
        wave = 0.5 - 0.5 * math.cos(2.0 * math.pi * passed_s / self._spec.wave_s)
        return self._spec.ambient_c + self._spec.wave_c * wave

    def temperature(self) -> Reading:
        """Return the temperature as telemetry has it."""
        return Reading(
            round(self._plant.die_c, 2), "°C", f"{SENSOR} ({_SOURCE})", Quality.SIMULATED
        )

    def power(self) -> Reading:
        """Return the power as telemetry has it."""
        return Reading(round(self.power_w, 3), "W", _SOURCE, Quality.SIMULATED)
