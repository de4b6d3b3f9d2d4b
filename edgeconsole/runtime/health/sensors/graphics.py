"""Graphics processors that sysfs knows: AMD's and Intel's through drm, embedded ones through devfreq.

Sources: the kernel's gpu/amdgpu/thermal.rst and i915 sysfs ABI; sysfs-class-devfreq; jetson_stats
(jtop/core/gpu.py: `load` counts thousandths).
"""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round

_CARD: Final = re.compile(r"card[0-9]{1,3}")
_DEVFREQ: Final = re.compile(r"[^/]{1,80}")
_CURRENT: Final = re.compile(r"[0-9]+:\s*([0-9]{1,6})\s*mhz\s*\*", re.IGNORECASE)
_GPU: Final = re.compile(
    r"gpu|ga10b|gv11b|gp10b|gm20b|gb10b|kgsl|mali|panfrost|panthor", re.IGNORECASE
)
_LOAD_AT: Final = re.compile(r"([0-9]{1,3})@([0-9]{1,12})(?:Hz)?")
_MAX_MHZ: Final = 20_000.0


def read_cards(round_: Round) -> list[SensorReading]:
    """Return how busy cards are, their memory and their clocks, as far as the driver says."""
    readings: list[SensorReading] = []
    for name, folder in round_.folders("class/drm", _CARD):
        device = round_.folder(f"{folder}/device")
        if device is not None:
            readings += _amd(round_, name, device)
        for file in ("gt_act_freq_mhz", "gt_cur_freq_mhz"):
            path = f"{folder}/{file}"
            if round_.files.is_file(path):
                readings.append(
                    round_.measure(
                        SensorKind.FREQUENCY, f"{name}/gt", "MHz", path, 1.0, most=_MAX_MHZ
                    )
                )
                break
    return readings


def _amd(round_: Round, name: str, device: str) -> list[SensorReading]:
    readings = []
    for what, file, unit, most in (
        ("busy", "gpu_busy_percent", "%", 100.0),
        ("vram_used", "mem_info_vram_used", "B", 1e15),
        ("vram_total", "mem_info_vram_total", "B", 1e15),
    ):
        path = f"{device}/{file}"
        if round_.files.is_file(path):
            readings.append(
                round_.measure(SensorKind.GPU, f"{name}/{what}", unit, path, 1.0, most=most)
            )
    path = f"{device}/pp_dpm_sclk"
    try:
        match = _CURRENT.search(round_.text(path))
    except UnreadError:
        return readings
    name = f"{name}/sclk"
    if match:
        mhz = float(match[1])
        readings.append(round_.reading(SensorKind.FREQUENCY, name, mhz, "MHz", path))
    else:
        reason = "no clock is marked as the current one"
        readings.append(round_.unknown(SensorKind.FREQUENCY, name, "MHz", path, reason))
    return readings


def read_devfreq(round_: Round) -> list[SensorReading]:
    """Return the frequencies of devices with one of their own, and how busy GPUs among them are."""
    readings = []
    for name, folder in round_.folders("class/devfreq", _DEVFREQ):
        limits = {}
        for limit in ("max", "min"):
            hz = round_.maybe(f"{folder}/{limit}_freq")
            if hz is not None and 0 < hz <= _MAX_MHZ * 1e6:
                limits[limit] = hz / 1e6
        path = f"{folder}/cur_freq"
        readings.append(
            round_.measure(
                SensorKind.FREQUENCY, name, "MHz", path, 1e6, most=_MAX_MHZ, limits=limits
            )
        )
        if _GPU.search(name):
            readings += _load(round_, name, folder)
    return readings


def _load(round_: Round, name: str, folder: str) -> list[SensorReading]:
    """Return a GPU's load: in thousandths beside the device (NVIDIA), or as `12@400000000Hz` (vendor kernels)."""
    path = f"{folder}/device/load"
    if round_.files.is_file(path):
        return [round_.measure(SensorKind.GPU, f"{name}/busy", "%", path, 10.0, most=100.0)]
    path = f"{folder}/load"
    try:
        match = _LOAD_AT.fullmatch(round_.text(path))
    except UnreadError:
        return []
    if match is None or float(match[1]) > 100:
        reason = "is not a load this version can read"
        return [round_.unknown(SensorKind.GPU, f"{name}/busy", "%", path, reason)]
    return [round_.reading(SensorKind.GPU, f"{name}/busy", float(match[1]), "%", path)]
