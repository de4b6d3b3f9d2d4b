"""Distances between numbers, in the labels' unit: `mae` and `rmse`."""

from __future__ import annotations

from typing import Final

import numpy as np

from edgeconsole.bundle.metrics.labels import check_column
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.scored import Ratio
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec


def _check_numbers(name: str, labels: Array, output: TensorSpec) -> None:
    if labels.dtype.kind not in "fiu":
        raise BundleError(
            f"{name} needs numbers as labels, not {labels.dtype}",
            hint="use labels.astype('float32')",
        )
    if output.datatype is Datatype.BOOL:
        raise BundleError(
            f"{name} needs numbers, output {output.name!r} is {output.datatype}",
            hint="judge booleans by accuracy",
        )
    check_column(name, labels, output)
    if not bool(np.isfinite(labels).all()):
        raise BundleError(
            f"{name} cannot be measured: labels hold NaN or infinite values",
            hint="clean the data first",
        )


def _mae(name: str, values: Array, labels: Array) -> Ratio:
    return _mean(name, values, labels, power=1)


def _rmse(name: str, values: Array, labels: Array) -> Ratio:
    return _mean(name, values, labels, power=2)


def _mean(name: str, values: Array, labels: Array, *, power: int) -> Ratio:
    with np.errstate(over="ignore"):
        apart = np.abs(values.astype(np.float64).reshape(labels.shape) - labels) ** power
        rows = apart.reshape(len(labels), -1)
        sums = rows.sum(axis=1)
        finite = bool(np.isfinite(sums.sum()))
    if not finite:
        raise BundleError(
            f"{name} cannot be measured: the output is infinite, or too far from the labels",
            hint="find the rows on which the model's values explode",
        )
    return Ratio(sums, np.full(len(rows), rows.shape[1]), root=power == 2)


def _no_classes(_output: TensorSpec) -> None:
    return None


_NEEDS: Final = "finite labels of the output's shape; [rows] will do for an output [rows, 1]"
MAE: Final = Metric(
    name="mae",
    higher_is_better=False,
    is_share=False,
    needs=_NEEDS,
    label_rule=_check_numbers,
    scorer=_mae,
    classes=_no_classes,
)
"""The mean absolute error, over all values."""
RMSE: Final = Metric(
    name="rmse",
    higher_is_better=False,
    is_share=False,
    needs=_NEEDS,
    label_rule=_check_numbers,
    scorer=_rmse,
    classes=_no_classes,
)
"""The root of the mean squared error, over all values."""
