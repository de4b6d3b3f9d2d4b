"""What only a Raspberry Pi's firmware knows: throttling, the real clock, and a Pi 5's power chip.

Sources: raspberrypi/documentation, `vcgencmd`. The power chip's rails are not USB ports or HATs,
and the current at the input is not measured.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round
from edgeconsole.runtime.health.sensors.thermal import PLAUSIBLE_C

Runner = Callable[[tuple[str, ...]], str]
"""Runs a vendor's tool and returns its output; raises `UnreadError`."""

TOOL: Final = "vcgencmd"
TOOL_TIMEOUT_S: Final = 2.0
_MAX_OUTPUT: Final = 16 * 1024
_BITS: Final = (
    ("under_voltage", 0),
    ("frequency_capped", 1),
    ("throttled", 2),
    ("soft_temperature_limit", 3),
)
_SINCE_BOOT: Final = 16
_UNEXPECTED: Final = "does not say what this version expects"
_THROTTLED: Final = re.compile(r"throttled=0x([0-9a-fA-F]{1,8})")
_TEMPERATURE: Final = re.compile(r"temp=(-?[0-9]{1,3}(?:\.[0-9]{1,3})?)'C")
_CLOCK: Final = re.compile(r"frequency\([0-9]+\)=([0-9]{1,12})")
_RAIL: Final = re.compile(
    r"\s*([A-Z0-9_]{1,32})_([AV])\s+(?:current|volt)\([0-9]+\)=([0-9]{1,6}(?:\.[0-9]{1,10})?)[AV]\s*"
)


def find_runner() -> Runner | None:
    """Return what runs the firmware's tool; `None` where it is not installed."""
    program = shutil.which(TOOL)
    if program is None:
        return None

    def run(arguments: tuple[str, ...]) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the firmware's own tool, by its full path
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TOOL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreadError(f"{TOOL} {arguments[0]}: {error}") from error
        said = (done.stdout or done.stderr)[:_MAX_OUTPUT].decode(errors="replace").strip()
        if done.returncode != 0:
            raise UnreadError(f"{TOOL} {arguments[0]} failed: {said[:80]}")
        return said

    return run


def read_firmware(round_: Round, run: Runner) -> list[SensorReading]:
    """Return what the firmware's tool says."""
    return [
        *_throttling(round_, run),
        _number(
            round_,
            run,
            ("measure_temp",),
            _TEMPERATURE,
            (SensorKind.TEMPERATURE, f"{TOOL}/soc", "°C", 1.0, PLAUSIBLE_C),
        ),
        _number(
            round_,
            run,
            ("measure_clock", "arm"),
            _CLOCK,
            (SensorKind.FREQUENCY, f"{TOOL}/arm", "MHz", 1e6, (0.0, 20_000.0)),
        ),
        *_rails(round_, run),
    ]


def _throttling(round_: Round, run: Runner) -> list[SensorReading]:
    source = f"{TOOL} get_throttled"
    name = f"{TOOL}/throttled"
    try:
        match = _THROTTLED.fullmatch(_say(round_, run, ("get_throttled",)))
    except UnreadError as error:
        return [round_.unknown(SensorKind.THROTTLE, name, "1", source, error.reason)]
    if match is None:
        return [round_.unknown(SensorKind.THROTTLE, name, "1", source, _UNEXPECTED)]
    bits = int(match[1], 16)
    return [
        round_.reading(
            SensorKind.THROTTLE, f"{TOOL}/{name}{suffix}", float(bits >> at & 1), "1", source
        )
        for suffix, shift in (("", 0), ("_since_boot", _SINCE_BOOT))
        for name, at in ((name, bit + shift) for name, bit in _BITS)
    ]


def _number(
    round_: Round,
    run: Runner,
    arguments: tuple[str, ...],
    pattern: re.Pattern[str],
    what: tuple[SensorKind, str, str, float, tuple[float, float]],
) -> SensorReading:
    kind, name, unit, per, (least, most) = what
    source = " ".join((TOOL, *arguments))
    try:
        match = pattern.fullmatch(_say(round_, run, arguments))
    except UnreadError as error:
        return round_.unknown(kind, name, unit, source, error.reason)
    if match is None or not least <= float(match[1]) / per <= most:
        return round_.unknown(kind, name, unit, source, _UNEXPECTED)
    return round_.reading(kind, name, float(match[1]) / per, unit, source)


def _rails(round_: Round, run: Runner) -> list[SensorReading]:
    """Return the power chip's rails and their sum; nothing before the Pi 5, which has no such chip."""
    source = f"{TOOL} pmic_read_adc"
    try:
        said = _say(round_, run, ("pmic_read_adc",))
    except UnreadError:
        return []
    measured: dict[str, dict[str, float]] = {}
    for line in said.splitlines()[:128]:
        match = _RAIL.fullmatch(line)
        if match:
            measured.setdefault(match[1], {})[match[2]] = float(match[3])
    watts = {
        rail: values["A"] * values["V"]
        for rail, values in measured.items()
        if values.keys() >= {"A", "V"}
    }
    if not watts or sum(watts.values()) > MAX_PLAUSIBLE_W:
        return []
    rails = [
        round_.reading(
            SensorKind.POWER, f"pmic/{rail}", value, "W", source, quality=Quality.DERIVED
        )
        for rail, value in watts.items()
    ]
    total = round_.reading(
        SensorKind.POWER,
        "pmic/sum",
        sum(watts.values()),
        "W",
        f"{source}: {len(watts)} rails, not USB and HATs",
        quality=Quality.DERIVED,
    )
    return [*rails, total]


def _say(round_: Round, run: Runner, arguments: tuple[str, ...]) -> str:
    return round_.files.call(f"{TOOL}/{arguments[0]}", lambda: run(arguments)).strip()
