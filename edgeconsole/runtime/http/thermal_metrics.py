"""What the thermal policy exposes at `/metrics`: the names, and their values. docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgeconsole.protocol.thermal import ThermalSample, ThermalState
from edgeconsole.runtime.http.metric import Kind, Metric

STATE: Final = Metric(
    "edgeconsole_thermal_state",
    Kind.GAUGE,
    ("state",),
    "1",
    "1 for the thermal policy's state, 0 for the rest",
)
STEP: Final = Metric(
    "edgeconsole_thermal_step",
    Kind.GAUGE,
    (),
    "1",
    "How many steps of the thermal policy's ladder are taken; 6 refuses inference",
)
LIMIT: Final = Metric(
    "edgeconsole_thermal_limit_celsius",
    Kind.GAUGE,
    (),
    "celsius",
    "The lowest trusted limit of the control temperature; absent while there is none",
)
RATE: Final = Metric(
    "edgeconsole_thermal_rate_limit",
    Kind.GAUGE,
    (),
    "requests per second",
    "The governed rate; absent while none is governed",
)
THROTTLED: Final = Metric(
    "edgeconsole_thermal_refusals_total",
    Kind.COUNTER,
    (),
    "requests",
    "Requests that the governed rate refused",
)
SIMULATED: Final = Metric(
    "edgeconsole_thermal_simulated",
    Kind.GAUGE,
    (),
    "1",
    "1 where a simulated device stands in for the sensors, else 0",
)
THERMAL_METRICS: Final = (STATE, STEP, LIMIT, RATE, THROTTLED, SIMULATED)


def thermal_values(sample: ThermalSample) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    """Return each metric with its labels and value; what is unknown is absent."""
    for state in ThermalState:
        yield STATE, (state.value,), float(state is sample.state)
    yield STEP, (), float(sample.allowance.step)
    if sample.limit_c is not None:
        yield LIMIT, (), sample.limit_c
    if sample.allowance.rate_per_s is not None:
        yield RATE, (), sample.allowance.rate_per_s
    yield THROTTLED, (), float(sample.throttled_total)
    yield SIMULATED, (), float(sample.simulated)
