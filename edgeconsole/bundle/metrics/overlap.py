"""How far answers and labels cover each other, class by class: `f1` and `iou`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from edgeconsole.bundle.metrics.classes import check_class_labels, count_classes
from edgeconsole.bundle.metrics.labels import (
    check_classes,
    check_integers,
    check_shape,
    check_two_classes,
    is_column,
)
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.scored import Overlap
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, TensorSpec

Measure = Callable[[Array, Array], Array]
_SLACK: Final = 0.01
"""How far a probability may lie outside 0 to 1: quantisation rounds that much."""


def _is_binary(output: TensorSpec) -> bool:
    return output.datatype.is_float and is_column(output)


def _f1_classes(output: TensorSpec) -> int | None:
    return 2 if _is_binary(output) else count_classes(output)


def _check_f1(name: str, labels: Array, output: TensorSpec) -> None:
    if _is_binary(output):
        check_two_classes(name, labels, output, both=False)
    else:
        check_class_labels(name, labels, output)


def _f1(_name: str, values: Array, labels: Array) -> Overlap:
    """Score one column as class 1 against the rest, class scores and numbers class by class.

    A column is cut at 0.5, or at 0 if its values are no probabilities. What lies on the cut is
    class 0, as the first of equal scores wins elsewhere.
    """
    if values.dtype.kind != "f":
        return _tally_numbers(labels, values, _dice)
    if values.size != len(values):
        return _tally(labels, values.argmax(axis=-1), values.shape[-1], _dice)
    probable = values.min() >= -_SLACK and values.max() <= 1 + _SLACK
    said = values.reshape(-1) > (0.5 if probable else 0.0)
    true = labels.reshape(-1) != 0
    row = np.arange(len(true))
    sizes = true.astype(np.int64) + said
    return Overlap(len(true), row, np.zeros_like(row), true & said, sizes, _dice)


def _iou_classes(output: TensorSpec) -> int | None:
    scored = output.datatype.is_float and len(output.shape) > 1 and output.shape[1] != -1
    return output.shape[1] if scored else None


def _check_iou(name: str, labels: Array, output: TensorSpec) -> None:
    check_integers(name, labels)
    if not output.datatype.is_float:
        check_shape(name, labels, output.shape)
        return
    classes = _iou_classes(output)
    if len(output.shape) < 2 or classes in {0, 1}:
        raise BundleError(
            f"{name} needs two or more scores in axis 1 of output {output.name!r}, "
            f"its shape is {list(output.shape)}"
        )
    check_shape(name, labels, (output.shape[0], *output.shape[2:]))
    if classes is not None:
        check_classes(name, labels, classes)


def _iou(_name: str, values: Array, labels: Array) -> Overlap:
    if values.dtype.kind != "f":
        return _tally_numbers(labels, values, _jaccard)
    return _tally(labels, values.argmax(axis=1), values.shape[1], _jaccard)


def _dice(hits: Array, sizes: Array) -> Array:
    return 2 * hits / sizes


def _jaccard(hits: Array, sizes: Array) -> Array:
    union: Array = sizes - hits
    return hits / union


def _tally_numbers(labels: Array, said: Array, measure: Measure) -> Overlap:
    """Tally class numbers of any size by their place among those that are there."""
    both = np.stack([labels.astype(np.int64), said.astype(np.int64)])
    known, places = np.unique(both, return_inverse=True)
    truth, answers = places.reshape(both.shape)
    return _tally(truth, answers, len(known), measure)


def _tally(labels: Array, said: Array, count: int, measure: Measure) -> Overlap:
    """Tally labels and answers of one shape `[rows, ...]`, both from 0 to below `count`."""
    rows, classes, hits, sizes = [], [], [], []
    for row, (label, answer) in enumerate(zip(labels, said, strict=True)):
        # Older versions of numpy do not count 64 unsigned bits as they are.
        true, given = label.reshape(-1).astype(np.int64), answer.reshape(-1)
        size = np.bincount(true, minlength=count) + np.bincount(given, minlength=count)
        there = np.flatnonzero(size)
        rows.append(np.full(len(there), row))
        classes.append(there)
        hits.append(np.bincount(true[true == given], minlength=count)[there])
        sizes.append(size[there])
    return Overlap(
        len(labels),
        np.concatenate(rows),
        np.concatenate(classes),
        np.concatenate(hits),
        np.concatenate(sizes),
        measure,
    )


F1: Final = Metric(
    name="f1",
    higher_is_better=True,
    is_share=True,
    needs=(
        "integer labels [rows, ...] for scores [rows, ..., classes] or class numbers [rows, ...]; "
        "or labels 0 and 1, [rows], for one score per row"
    ),
    label_rule=_check_f1,
    scorer=_f1,
    classes=_f1_classes,
)
"""The harmonic mean of precision and recall: of class 1 for one score per row, else the mean over
the classes that labels or answers have."""
IOU: Final = Metric(
    name="iou",
    higher_is_better=True,
    is_share=True,
    needs="integer labels [rows, ...] for scores [rows, classes, ...] or class numbers [rows, ...]",
    label_rule=_check_iou,
    scorer=_iou,
    classes=_iou_classes,
)
"""Intersection over union (Jaccard) of the positions of each class that labels or answers have,
summed over all rows; the mean over those classes."""
