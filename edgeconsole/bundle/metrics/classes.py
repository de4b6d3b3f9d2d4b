"""Shares of right and wrong classes: `accuracy`, `top5_accuracy`, `error_rate`."""

from __future__ import annotations

from typing import Final

import numpy as np

from edgeconsole.bundle.metrics.labels import check_classes, check_integers, check_shape
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.scored import Ratio
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, TensorSpec

_TOP: Final = 5


def count_classes(output: TensorSpec) -> int | None:
    """Return the length of the last axis of class scores; `None` for integers, classes already."""
    scored = output.datatype.is_float and len(output.shape) > 1 and output.shape[-1] != -1
    return output.shape[-1] if scored else None


def check_class_labels(name: str, labels: Array, output: TensorSpec) -> None:
    """Refuse all but one class per vector of scores, or per integer; raises `BundleError`."""
    check_integers(name, labels)
    if not output.datatype.is_float:
        check_shape(name, labels, output.shape)
        return
    classes = count_classes(output)
    if len(output.shape) < 2 or classes in {0, 1}:
        raise BundleError(
            f"{name} needs two or more scores in the last axis of output {output.name!r}, "
            f"its shape is {list(output.shape)}"
        )
    check_shape(name, labels, output.shape[:-1])
    if classes is not None:
        check_classes(name, labels, classes)


def _check_top(name: str, labels: Array, output: TensorSpec) -> None:
    if not output.datatype.is_float:
        raise BundleError(
            f"{name} needs scores, output {output.name!r} is {output.datatype}",
            hint="judge class numbers by accuracy",
        )
    check_class_labels(name, labels, output)
    classes = count_classes(output)
    if classes is not None and classes <= _TOP:
        raise BundleError(
            f"{name} is always 1: output {output.name!r} scores {classes} classes",
            hint="judge the model by accuracy",
        )


def _accuracy(_name: str, values: Array, labels: Array) -> Ratio:
    return _share(_answers(values) == labels)


def _error_rate(_name: str, values: Array, labels: Array) -> Ratio:
    return _share(_answers(values) != labels)


def _top(_name: str, values: Array, labels: Array) -> Ratio:
    """Say where fewer than five scores come before the label's; equal ones in order of class."""
    label = labels[..., None].astype(np.int64)
    own = np.take_along_axis(values, label, axis=-1)
    tied = (values == own) & (np.arange(values.shape[-1]) < label)
    return _share(((values > own) | tied).sum(axis=-1) < _TOP)


def _answers(values: Array) -> Array:
    return values.argmax(axis=-1) if values.dtype.kind == "f" else values


def _share(right: Array) -> Ratio:
    rows = right.reshape(len(right), -1)
    return Ratio(rows.sum(axis=1), np.full(len(rows), rows.shape[1]))


_NEEDS: Final = (
    "integer labels [rows, ...] for scores [rows, ..., classes] or class numbers [rows, ...]"
)
ACCURACY: Final = Metric(
    name="accuracy",
    higher_is_better=True,
    is_share=True,
    needs=_NEEDS,
    label_rule=check_class_labels,
    scorer=_accuracy,
    classes=count_classes,
)
"""How often the largest score, the first of equal ones, is the label's."""
ERROR_RATE: Final = Metric(
    name="error_rate",
    higher_is_better=False,
    is_share=True,
    needs=_NEEDS,
    label_rule=check_class_labels,
    scorer=_error_rate,
    classes=count_classes,
)
"""One minus `accuracy`."""
TOP5_ACCURACY: Final = Metric(
    name="top5_accuracy",
    higher_is_better=True,
    is_share=True,
    needs="integer labels [rows, ...] for scores [rows, ..., classes] of six or more classes",
    label_rule=_check_top,
    scorer=_top,
    classes=count_classes,
)
"""How often the label's score is among the five largest."""
