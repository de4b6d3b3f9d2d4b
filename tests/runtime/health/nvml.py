"""A stand-in for the module `pynvml`: answers, or raises as the real one does where there are none."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Gpu = dict[str, Any]
QUESTIONS = {
    "nvmlDeviceGetTemperature": "temperature",
    "nvmlDeviceGetTemperatureThreshold": "threshold",
    "nvmlDeviceGetPowerUsage": "power_mw",
    "nvmlDeviceGetEnforcedPowerLimit": "limit_mw",
    "nvmlDeviceGetTotalEnergyConsumption": "energy_mj",
    "nvmlDeviceGetClockInfo": "sm_mhz",
    "nvmlDeviceGetFanSpeed": "fan",
    "nvmlDeviceGetCurrentClocksEventReasons": "reasons",
}
STRUCTURES = {
    "nvmlDeviceGetUtilizationRates": {"gpu": "busy"},
    "nvmlDeviceGetMemoryInfo": {"used": "memory_used", "total": "memory_total"},
}


class StandInNvml:
    """NVML with some GPUs, each a mapping from figures to answers; `broken` is why it cannot begin."""

    class NVMLError(Exception):
        """As `pynvml.NVMLError`."""

    def __init__(self, *gpus: Gpu, broken: str = "") -> None:
        self._gpus = gpus
        self._broken = broken

    def __getattr__(self, question: str) -> Callable[..., Any]:
        """Return the function of that name."""
        if question in QUESTIONS:
            return lambda gpu, *which: self._answer(gpu, QUESTIONS[question], *which)
        if question in STRUCTURES:
            parts = STRUCTURES[question].items()
            return lambda gpu: SimpleNamespace(
                **{part: self._answer(gpu, figure) for part, figure in parts}
            )
        own = {
            "nvmlInit": self._begin,
            "nvmlDeviceGetCount": lambda: len(self._gpus),
            "nvmlDeviceGetHandleByIndex": self._handle,
        }
        if question not in own:
            raise AttributeError(question)
        return own[question]

    def _begin(self) -> None:
        if self._broken:
            raise self.NVMLError(self._broken)

    def _handle(self, index: int) -> Gpu:
        if self._gpus[index].get("lost"):
            raise self.NVMLError("GPU is lost")
        return self._gpus[index]

    def _answer(self, gpu: Gpu, figure: str, which: int = 0) -> Any:
        answer = gpu.get(f"threshold{which}" if figure == "threshold" else figure)
        if answer is None:
            raise self.NVMLError("Not Supported")
        return answer
