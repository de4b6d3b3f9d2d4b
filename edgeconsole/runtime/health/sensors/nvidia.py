"""NVIDIA GPUs through NVML, if `nvidia-ml-py` (extra `nvidia`) is installed.

Each figure may be unsupported on its own: the others still count. Sources: the NVML API reference
(device queries; clocks event reasons).
"""

from __future__ import annotations

from typing import Any, Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W, power_of
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round, implausible
from edgeconsole.runtime.health.sensors.thermal import PLAUSIBLE_C

DRIVER: Final = "driver/nvidia/version"
"""Below procfs: there while the driver is loaded."""
_MOST_GPUS: Final = 16
_THRESHOLDS: Final = (("shutdown", 0), ("slowdown", 1), ("max", 3))
"""nvmlTemperatureThresholds_t."""
_SM_CLOCK: Final = 1
_GPU_SENSOR: Final = 0
_REASONS: Final = (
    ("sw_power_cap", 0x4),
    ("hw_slowdown", 0x8),
    ("sw_thermal_slowdown", 0x20),
    ("hw_thermal_slowdown", 0x40),
    ("hw_power_brake", 0x80),
)


def load_nvml() -> Any | None:
    """Return the NVML module; `None` if it is not installed."""
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def read_gpus(round_: Round, nvml: Any | None) -> list[SensorReading]:
    """Return what NVML says of each GPU; nothing without a driver."""
    if nvml is None:
        if not round_.files.is_file(round_.proc(DRIVER)):
            return []
        reason = "nvidia-ml-py is not installed: pip install 'edgeconsole[nvidia]'"
        return [_no_gpu(round_, reason)]
    try:
        count = round_.files.call("nvml/init", lambda: _begin(nvml))
    except UnreadError as error:
        return [_no_gpu(round_, error.reason)] if _driver_is_there(round_) else []
    gpus = [_Gpu(round_, nvml, index) for index in range(min(count, _MOST_GPUS))]
    return [reading for gpu in gpus for reading in gpu.read()]


def _no_gpu(round_: Round, reason: str) -> SensorReading:
    return round_.unknown(SensorKind.GPU, "nvidia/busy", "%", "nvml", reason)


def _driver_is_there(round_: Round) -> bool:
    return round_.files.is_file(round_.proc(DRIVER))


def _begin(nvml: Any) -> int:
    """Initialise (NVML counts how often) and return how many GPUs there are; raises `UnreadError`."""
    try:
        nvml.nvmlInit()
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        raise UnreadError(str(error)) from error


class _Gpu:
    def __init__(self, round_: Round, nvml: Any, index: int) -> None:
        self._round = round_
        self._nvml = nvml
        self._name = f"nvidia{index}"
        self._arguments: tuple[Any, ...] = (index,)

    def read(self) -> list[SensorReading]:
        """Return the GPU's readings."""
        try:
            self._arguments = (self._ask("nvmlDeviceGetHandleByIndex"),)
        except UnreadError as error:
            return [self._unknown(SensorKind.GPU, "busy", "%", error.reason)]
        return [self._temperature(), *self._power(), *self._figures(), *self._throttling()]

    def _ask(self, question: str, *arguments: int) -> Any:
        """Return NVML's answer; raises `UnreadError` if the GPU has none."""

        def ask() -> Any:
            try:
                return getattr(self._nvml, question)(*self._arguments, *arguments)
            except self._nvml.NVMLError as error:
                raise UnreadError(str(error)) from error
            except AttributeError as error:
                raise UnreadError("this nvidia-ml-py cannot ask for it") from error

        return self._round.files.call(f"nvml/{self._name}", ask)

    def _number(self, question: str, *arguments: int, part: str = "") -> float:
        answer = self._ask(question, *arguments)
        if part:
            answer = getattr(answer, part, None)
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise UnreadError(f"{str(answer)[:20]!r} is not a number")
        return float(answer)

    def _unknown(self, kind: SensorKind, what: str, unit: str, reason: str) -> SensorReading:
        return self._round.unknown(kind, f"{self._name}/{what}", unit, "nvml", reason)

    def _measure(
        self,
        kind: SensorKind,
        what: str,
        unit: str,
        question: str,
        *arguments: int,
        part: str = "",
        per: float = 1.0,
        least: float = 0.0,
        most: float = 1e15,
        limits: dict[str, float] | None = None,
    ) -> SensorReading:
        try:
            value = self._number(question, *arguments, part=part) / per
        except UnreadError as error:
            return self._unknown(kind, what, unit, error.reason)
        if not least <= value <= most:
            return self._unknown(kind, what, unit, implausible(value, unit))
        name = f"{self._name}/{what}"
        return self._round.reading(kind, name, value, unit, "nvml", limits=limits)

    def _limit(self, question: str, *arguments: int, per: float = 1.0) -> float | None:
        try:
            return self._number(question, *arguments) / per
        except UnreadError:
            return None

    def _temperature(self) -> SensorReading:
        limits = {
            name: limit
            for name, number in _THRESHOLDS
            if (limit := self._limit("nvmlDeviceGetTemperatureThreshold", number)) is not None
        }
        return self._measure(
            SensorKind.TEMPERATURE,
            "temperature",
            "°C",
            "nvmlDeviceGetTemperature",
            _GPU_SENSOR,
            least=PLAUSIBLE_C[0],
            most=PLAUSIBLE_C[1],
            limits=limits,
        )

    def _power(self) -> list[SensorReading]:
        """Return energy and power; power is derived from energy where only that is supported."""
        kind, question = SensorKind.ENERGY, "nvmlDeviceGetTotalEnergyConsumption"
        energy = self._measure(kind, "energy", "J", question, per=1e3)
        limit_w = self._limit("nvmlDeviceGetEnforcedPowerLimit", per=1e3)
        power = self._measure(
            SensorKind.POWER,
            "power",
            "W",
            "nvmlDeviceGetPowerUsage",
            per=1e3,
            most=MAX_PLAUSIBLE_W,
            limits={} if limit_w is None else {"enforced": limit_w},
        )
        if power.value is None and energy.value is not None:
            power = power_of(self._round, power.name, energy, self._round.clock())
        return [energy, power]

    def _figures(self) -> list[SensorReading]:
        gpu, memory, measure = SensorKind.GPU, "nvmlDeviceGetMemoryInfo", self._measure
        use = "nvmlDeviceGetUtilizationRates"
        clock = "nvmlDeviceGetClockInfo"
        fan = measure(SensorKind.FAN, "fan", "%", "nvmlDeviceGetFanSpeed", most=300.0)
        return [
            measure(gpu, "busy", "%", use, part="gpu", most=100.0),
            measure(gpu, "memory_used", "B", memory, part="used"),
            measure(gpu, "memory_total", "B", memory, part="total"),
            measure(SensorKind.FREQUENCY, "sm", "MHz", clock, _SM_CLOCK, most=20_000.0),
            *([] if fan.value is None else [fan]),  # Many have none.
        ]

    def _throttling(self) -> list[SensorReading]:
        """Return the reasons for lower clocks; older libraries name the question differently."""
        newer = "nvmlDeviceGetCurrentClocksEventReasons"
        older = "nvmlDeviceGetCurrentClocksThrottleReasons"
        try:
            bits = int(self._number(newer if hasattr(self._nvml, newer) else older))
        except UnreadError as error:
            return [self._unknown(SensorKind.THROTTLE, "throttled", "1", error.reason)]
        return [
            self._round.reading(
                SensorKind.THROTTLE, f"{self._name}/{what}", float(bool(bits & bit)), "1", "nvml"
            )
            for what, bit in _REASONS
        ]
