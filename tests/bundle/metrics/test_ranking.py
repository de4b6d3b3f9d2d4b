"""`auc` and `average_precision`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as theirs

from edgeconsole.bundle.metrics import METRICS, measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

SCORES = np.array([0.1, 0.4, 0.35, 0.8], "f4")
LABELS = np.array([0, 0, 1, 1])
NAMES = ("auc", "average_precision")


def test_known_values() -> None:
    """The example of scikit-learn's documentation, in each form of one score per row."""
    for values in (SCORES, SCORES[:, None], SCORES.astype("f2"), np.array([1, 4, 3, 8])):
        assert measure_metric("auc", {"y": values}, LABELS) == 0.75
        value = measure_metric("average_precision", {"y": values}, LABELS)
        assert value == pytest.approx(0.8333333)
    assert measure_metric("auc", {"y": SCORES[:, None]}, LABELS[:, None]) == 0.75


def test_equal_scores_are_worth_half() -> None:
    """A model that says one constant has an AUC of one half, whatever the order of rows."""
    constant = {"y": np.ones(4, "f4")}
    assert measure_metric("auc", constant, LABELS) == 0.5
    assert measure_metric("auc", constant, LABELS[::-1]) == 0.5
    assert measure_metric("average_precision", constant, LABELS) == 0.5


def test_infinite_scores() -> None:
    """Infinities are scores like others."""
    values = np.array([-np.inf, 0, np.inf, np.inf], "f4")
    assert measure_metric("auc", {"y": values}, LABELS) == 1


def test_one_class_drawn_is_no_number() -> None:
    """A resample of one class has no AUC; without class 1 it has no average precision."""
    auc, precision = (METRICS[name].prepare({"y": SCORES}, LABELS) for name in NAMES)
    assert math.isnan(auc.value(np.array([0, 1, 1])))
    assert math.isnan(auc.value(np.array([2, 3])))
    assert math.isnan(precision.value(np.array([0, 1])))
    assert precision.value(np.array([2, 3])) == 1
    assert precision.value(np.array([0, 2])) == 1  # the highest score is not among them


@pytest.mark.parametrize("levels", [4, 1 << 40])
def test_like_scikit_learn(rng: np.random.Generator, levels: int) -> None:
    """Values of random scores are scikit-learn's, with many equal scores and with none."""
    labels = rng.integers(0, 2, 300)
    scores = (rng.integers(0, levels, 300) + labels * levels // 4) / levels
    auc = theirs.roc_auc_score(labels, scores)
    assert measure_metric("auc", {"y": scores}, labels) == pytest.approx(auc)
    precision = theirs.average_precision_score(labels, scores)
    assert measure_metric("average_precision", {"y": scores}, labels) == pytest.approx(precision)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (SCORES, LABELS * 0, "needs rows of class 1, all labels are 0"),
        (SCORES, LABELS * 2, "labels run from 0 to 2, classes are numbered 0 to 1"),
        (SCORES, LABELS.astype("f4"), "needs integer labels, not float32"),
        (SCORES, LABELS[:, None], r"labels of shape \[4\]"),
        (SCORES.reshape(2, 2), LABELS[1:3], r"one score per row.*\[2, 2\].*score of class 1"),
        (SCORES[:, None, None], LABELS, "one score per row"),
    ],
)
def test_refuses_what_cannot_be_measured(
    name: str, values: Array, labels: Array, words: str
) -> None:
    """Data that do not fit are an error, never a number."""
    with pytest.raises(BundleError, match=f"{name}.*{words}"):
        measure_metric(name, {"y": values}, labels)


def test_auc_needs_both_classes() -> None:
    """Only class 1 leaves nothing to tell apart; average precision is then 1."""
    with pytest.raises(BundleError, match="auc needs rows of both classes, all labels are 1"):
        measure_metric("auc", {"y": SCORES}, LABELS * 0 + 1)
    assert measure_metric("average_precision", {"y": SCORES}, LABELS * 0 + 1) == 1
