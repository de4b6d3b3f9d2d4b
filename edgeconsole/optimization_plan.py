"""What an optimisation will do, in words, before it is ordered: for the form and for `--plan`. Pure."""

from __future__ import annotations

from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.optimization_options import Asked
from edgeconsole.specs import ModelOptimizationLevel

_INT8: Final = (
    "int8, dynamic and, with the bundle's calibration data, static in several ways; layers stay "
    "float where it loses too much"
)
_TORCH: Final = "torch and model.pt2, which devices do not keep: each is listed with that reason"
MEASURES: Final = {
    ModelOptimizationLevel.NONE: "the model as it is",
    ModelOptimizationLevel.QUANTIZATION: _INT8,
    ModelOptimizationLevel.PRUNING: f"the model as it is; pruning needs {_TORCH}",
    ModelOptimizationLevel.DISTILLATION: f"the model as it is; distillation needs {_TORCH}",
    ModelOptimizationLevel.COMPILATION: "the model as it is, with one thread and with all cores",
    ModelOptimizationLevel.FULL_OPTIMIZATION: (
        f"{_INT8}; each with one thread and with all cores. Pruning and distillation need {_TORCH}"
    ),
}
"""By level, on a device."""
SERVING_KEEPS: Final = (
    "what answers stays as it is; the job runs below its priority, one at a time, and says what "
    "p99 was before and meanwhile"
)


def sentences(asked: Asked, ahead: int | None) -> tuple[tuple[str, str], ...]:
    """Return what is measured, for how long, and what serving keeps, each with a word before it.

    `ahead` is how many jobs come before it; `None`: not known.
    """
    waits = {None: "; how many jobs come before it is not known", 0: "; it starts at once"}
    behind = waits.get(ahead, f"; {ahead} job{'' if ahead == 1 else 's'} before it")
    return (
        ("measures", MEASURES[asked.level]),
        ("takes", f"{duration_text(asked.budget_s)} at most{behind}"),
        ("keeps", SERVING_KEEPS),
    )
