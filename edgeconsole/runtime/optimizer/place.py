"""Where a measurement was taken, so that it is only believed where it holds."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.protocol.optimization import MeasuredOn
from edgeconsole.runtime.health.cores import available_cores
from edgeconsole.runtime.health.sensors.control import choose_temperature
from edgeconsole.runtime.health.sensors.lane import Lane
from edgeconsole.runtime.health.sensors.survey import read_heat
from edgeconsole.runtime.optimizer.engines import installed_engines

_CPUINFO: Final = Path("/proc/cpuinfo")
_NAMES: Final = ("model name", "Hardware", "Model", "cpu model", "CPU part")
_FLAGS: Final = ("flags", "Features")


def measure_place() -> MeasuredOn:
    """Return this device's class and state."""
    fields = _cpu_fields()
    cpu = next((fields[name] for name in _NAMES if name in fields), platform.machine())
    flags = next((fields[name] for name in _FLAGS if name in fields), "")
    engines = installed_engines()
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


def temperature_c() -> float | None:
    """Return the temperature the agent would act on; `None` if nothing here tells it."""
    lane = Lane(read_heat)
    lane.collect()
    return choose_temperature(lane.readings).reading.value


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
