"""Measuring the metrics a bundle can name."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.bundle.metrics import measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], "f4")


def test_accuracy_of_scores() -> None:
    """The largest score along the last axis of the first output is compared with the label."""
    outputs = {"y": SCORES, "other": np.zeros(1)}
    assert measure_metric("accuracy", outputs, np.array([1, 0, 1, 1])) == 0.75


def test_accuracy_of_class_numbers_and_sequences() -> None:
    """Integer outputs are classes already; scores per token have labels per token."""
    assert measure_metric("accuracy", {"y": np.array([3, 1])}, np.array([3, 2])) == 0.5
    tokens = SCORES.reshape(2, 2, 2)
    assert measure_metric("accuracy", {"y": tokens}, np.array([[1, 0], [1, 0]])) == 1.0


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        ({}, np.array([1]), "needs an output"),
        ({"y": SCORES}, np.array([1.0, 0, 1, 1]), "integer labels"),
        ({"y": SCORES}, np.array([1, 0]), r"labels of shape \[4\]"),
        ({"y": SCORES[:, :1]}, np.array([1, 0, 1, 1]), "two or more scores"),
        ({"y": SCORES * np.nan}, np.array([1, 0, 1, 1]), "holds NaN"),
        ({"y": SCORES[:0]}, np.zeros(0, "i8"), "at least one value"),
    ],
)
def test_refuses_what_cannot_be_measured(
    outputs: dict[str, Array], labels: Array, words: str
) -> None:
    """Data that do not fit are an error, never a number."""
    with pytest.raises(BundleError, match=words):
        measure_metric("accuracy", outputs, labels)


def test_unknown_metric() -> None:
    """An unknown name is refused and the known ones are listed."""
    with pytest.raises(BundleError, match=r"'f1' is not known.*accuracy"):
        measure_metric("f1", {"y": SCORES}, np.array([1, 0, 1, 1]))
