"""The metrics a bundle can name, measured on outputs and labels; imports numpy alone.

Only a model's first output, in the manifest's order, is judged. Resampling for paired comparisons
goes through `Metric.prepare`: score both models once, then ask `Scored.value(rows)` of both with
the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from edgeconsole.bundle.metrics.classes import ACCURACY, ERROR_RATE, TOP5_ACCURACY
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.overlap import F1, IOU
from edgeconsole.bundle.metrics.ranking import AUC, AVERAGE_PRECISION
from edgeconsole.bundle.metrics.regression import MAE, RMSE
from edgeconsole.bundle.metrics.scored import Scored
from edgeconsole.bundle.metrics.sequences import PHONEME_ERROR_RATE, SEQUENCE_ERROR_RATE
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

__all__ = ["METRICS", "Metric", "Scored", "check_metric", "measure_metric"]

_ALL: Final = (
    ACCURACY,
    TOP5_ACCURACY,
    ERROR_RATE,
    F1,
    IOU,
    AUC,
    AVERAGE_PRECISION,
    MAE,
    RMSE,
    SEQUENCE_ERROR_RATE,
    PHONEME_ERROR_RATE,
)
METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every metric by its name."""


def check_metric(name: str) -> str:
    """Return the name of a known metric; raises `BundleError` otherwise."""
    if name not in METRICS:
        raise BundleError(f"metric {name!r} is not known", hint=f"known metrics: {list(METRICS)}")
    return name


def measure_metric(name: str, outputs: Mapping[str, Array], labels: Array) -> float:
    """Measure one metric of a model's outputs, given in the manifest's order.

    Raises `BundleError` for an unknown metric and for data that do not fit.
    """
    return METRICS[check_metric(name)].measure(outputs, labels)
