"""Where a measurement was taken, so that it is only believed where it holds."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.engines import Precision
from edgeconsole.protocol.optimization import MeasuredOn
from edgeconsole.runtime.health.cores import available_cores
from edgeconsole.runtime.health.sensors.control import choose_temperature
from edgeconsole.runtime.health.sensors.lane import Lane
from edgeconsole.runtime.health.sensors.survey import read_heat
from edgeconsole.runtime.optimizer.engines import measurable_engines

_CPUINFO: Final = Path("/proc/cpuinfo")
_NAMES: Final = ("model name", "Hardware", "Model", "cpu model", "CPU part")
_FLAGS: Final = ("flags", "Features")
_UNITS: Final = {
    Precision.BF16: {"avx512_bf16", "amx_bf16"},
    Precision.FP16: {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def measure_place(allowed: Collection[str] = ()) -> MeasuredOn:
    """Return this device's class and state; of its engines those that are allowed, empty: all."""
    fields = _cpu_fields()
    cpu = next((fields[name] for name in _NAMES if name in fields), platform.machine())
    flags = _field(fields, _FLAGS)
    engines = measurable_engines(allowed)
    cores = available_cores()
    told = [cpu, flags, platform.machine(), cores, os.cpu_count(), sorted(engines.items())]
    fingerprint = hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]
    return MeasuredOn(
        fingerprint=fingerprint,
        cpu=cpu,
        cores=cores,
        machine=platform.machine(),
        engines=engines,
        temp_c_before=temperature_c(),
    )


def lower_precisions() -> frozenset[Precision]:
    """Return in which precisions below fp32 the processor has instructions for products.

    Sources: the kernel's names in /proc/cpuinfo, and OpenVINO's CPU plugin, "Supported inference
    data types": bf16 and fp16 on x86 with AVX-512 or AMX of that kind, fp16 on ARM.
    """
    flags = set(_field(_cpu_fields(), _FLAGS).split())
    return frozenset(precision for precision, names in _UNITS.items() if names & flags)


def temperature_c() -> float | None:
    """Return the temperature the agent would act on; `None` if nothing here tells it."""
    lane = Lane(read_heat)
    lane.collect()
    return choose_temperature(lane.readings).reading.value


def _field(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _cpu_fields() -> dict[str, str]:
    """Return the first processor's fields."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found
