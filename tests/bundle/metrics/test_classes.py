"""`accuracy`, `top5_accuracy` and `error_rate`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from edgeconsole.bundle.metrics import measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], "f4")
SIX = np.arange(12, dtype="f4").reshape(2, 6)


def test_accuracy_of_scores() -> None:
    """The largest score along the last axis of the first output is compared with the label."""
    outputs = {"y": SCORES, "other": np.zeros(1)}
    assert measure_metric("accuracy", outputs, np.array([1, 0, 1, 1])) == 0.75
    assert measure_metric("error_rate", outputs, np.array([1, 0, 1, 1])) == 0.25


def test_accuracy_of_class_numbers_and_sequences() -> None:
    """Integer outputs are classes already; scores per token have labels per token."""
    assert measure_metric("accuracy", {"y": np.array([3, 1])}, np.array([3, 2])) == 0.5
    tokens = SCORES.reshape(2, 2, 2)
    assert measure_metric("accuracy", {"y": tokens}, np.array([[1, 0], [1, 0]])) == 1.0


def test_equal_scores() -> None:
    """Of equal scores the first class wins: one answer, and the first five, not all or none."""
    flat = {"y": np.zeros((6, 6), "f4")}
    assert measure_metric("accuracy", flat, np.arange(6)) == pytest.approx(1 / 6)
    assert measure_metric("top5_accuracy", flat, np.arange(6)) == pytest.approx(5 / 6)


def test_infinite_scores() -> None:
    """A masked class, at minus infinity, is a class that is never chosen."""
    masked = {"y": np.where(np.eye(6) > 0, -np.inf, 0.0)}
    assert measure_metric("accuracy", masked, np.arange(6)) == 0
    assert measure_metric("top5_accuracy", masked, np.arange(6)) == 0


def test_like_scikit_learn(rng: np.random.Generator) -> None:
    """Accuracies of random scores are scikit-learn's."""
    scores, labels = rng.normal(size=(300, 9)), rng.integers(0, 9, 300)
    outputs = {"y": scores}
    right = theirs.accuracy_score(labels, scores.argmax(axis=1))
    assert measure_metric("accuracy", outputs, labels) == pytest.approx(right)
    assert measure_metric("error_rate", outputs, labels) == pytest.approx(1 - right)
    top = theirs.top_k_accuracy_score(labels, scores, k=5, labels=np.arange(9))
    assert measure_metric("top5_accuracy", outputs, labels) == pytest.approx(top)


@pytest.mark.parametrize("name", ["accuracy", "error_rate"])
@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        ({}, np.array([1]), "needs an output"),
        ({"y": SCORES}, np.array([1.0, 0, 1, 1]), "integer labels"),
        ({"y": SCORES}, np.array([1, 0]), r"labels of shape \[4\]"),
        ({"y": SCORES}, np.array([[1], [0], [1], [1]]), r"labels of shape \[4\]"),
        ({"y": SCORES[:, :1]}, np.array([1, 0, 1, 1]), "two or more scores"),
        ({"y": SCORES[:, 0]}, np.array([1, 0, 1, 1]), "two or more scores"),
        ({"y": SCORES * np.nan}, np.array([1, 0, 1, 1]), "holds NaN"),
        ({"y": SCORES[:0]}, np.zeros(0, "i8"), "at least one value"),
        ({"y": SCORES}, np.array([1, 0, 2, 1]), "run from 0 to 2, classes are numbered 0 to 1"),
        ({"y": SCORES}, np.array([1, 0, -1, 1]), "run from -1 to 1"),
    ],
)
def test_refuses_what_cannot_be_measured(
    name: str, outputs: dict[str, Array], labels: Array, words: str
) -> None:
    """Data that do not fit are an error, never a number."""
    with pytest.raises(BundleError, match=f"{name}.*{words}"):
        measure_metric(name, outputs, labels)


@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (SIX[:, :5], np.array([0, 1]), "always 1: output 'y' scores 5 classes.*accuracy"),
        (np.array([0, 1]), np.array([0, 1]), "needs scores, output 'y' is INT64"),
        (SIX, np.array([0, 6]), "classes are numbered 0 to 5"),
    ],
)
def test_top5_needs_six_classes(values: Array, labels: Array, words: str) -> None:
    """The best five of five are always right, and of class numbers nothing is second."""
    with pytest.raises(BundleError, match=f"top5_accuracy.*{words}"):
        measure_metric("top5_accuracy", {"y": values}, labels)
