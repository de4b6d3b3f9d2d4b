"""`f1` and `iou`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as theirs

from edgeconsole.bundle.metrics import METRICS, measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array


def test_f1_of_one_column() -> None:
    """Probabilities are cut at 0.5, logits at 0; what lies on the cut is class 0."""
    labels = np.array([1, 1, 0, 0])
    for column in ([0.9, 0.5, 0.6, 0.1], [3.0, 0.0, 0.2, -1.0]):
        values = np.array(column, "f4")
        assert measure_metric("f1", {"y": values}, labels) == 0.5
        assert measure_metric("f1", {"y": values[:, None]}, labels) == 0.5
        assert measure_metric("f1", {"y": values[:, None]}, labels[:, None]) == 0.5


def test_f1_forgives_rounded_probabilities() -> None:
    """A quantised probability of a little more than 1 does not turn all of them into logits."""
    values = np.array([1.004, 0.4, 0.2, -0.004], "f4")
    assert measure_metric("f1", {"y": values}, np.array([1, 0, 0, 0])) == 1


def test_f1_of_a_resample_keeps_the_cut() -> None:
    """Logits stay logits where only those between 0 and 1 are drawn."""
    values = np.array([0.3, 0.2, -5.0], "f4")
    scored = METRICS["f1"].prepare({"y": values}, np.array([1, 0, 0]))
    assert scored.value(np.array([0, 0])) == 1
    assert math.isnan(scored.value(np.array([2, 2])))


def test_classes_that_are_nowhere_do_not_count() -> None:
    """A class counts if a label or an answer has it, also within a resample."""
    values = np.eye(9)[[0, 0, 3]]
    scored = METRICS["f1"].prepare({"y": values}, np.array([0, 1, 3]))
    assert scored.value() == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scored.value(np.array([2])) == 1
    assert scored.value(np.array([1, 2])) == pytest.approx((0 + 0 + 1) / 3)


def test_iou_pools_all_rows() -> None:
    """Intersection and union are counted over all rows before they are divided."""
    labels = np.array([[0, 0, 0, 1], [1, 1, 1, 1]])
    said = np.array([[0, 0, 1, 1], [1, 1, 1, 0]])
    expected = (2 / 4 + 4 / 6) / 2
    assert measure_metric("iou", {"y": said}, labels) == pytest.approx(expected)
    scores = np.moveaxis(np.eye(3)[said], -1, 1)
    assert measure_metric("iou", {"y": scores}, labels) == pytest.approx(expected)


def test_class_numbers_may_be_large() -> None:
    """Integer outputs are classes as they are, whatever their size and sign."""
    said = np.array([1 << 60, -5, 7])
    assert measure_metric("f1", {"y": said}, said) == 1
    assert measure_metric("iou", {"y": said}, np.array([1 << 60, 7, 7])) == 0.5


def test_like_scikit_learn(rng: np.random.Generator) -> None:
    """F1, of classes and of one column, and IoU of random data are scikit-learn's."""
    scores, labels = rng.normal(size=(200, 5)), rng.integers(0, 4, 200)
    f1 = theirs.f1_score(labels, scores.argmax(axis=1), average="macro")
    assert measure_metric("f1", {"y": scores}, labels) == pytest.approx(f1)
    column, two = rng.normal(size=200), rng.integers(0, 2, 200)
    f1 = theirs.f1_score(two, column > 0)
    assert measure_metric("f1", {"y": column[:, None]}, two) == pytest.approx(f1)
    pixels, classes = rng.normal(size=(20, 4, 3, 3)), rng.integers(0, 4, (20, 3, 3))
    said = pixels.argmax(axis=1)
    iou = theirs.jaccard_score(classes.reshape(-1), said.reshape(-1), average="macro")
    assert measure_metric("iou", {"y": pixels}, classes) == pytest.approx(iou)
    f1 = theirs.f1_score(classes.reshape(-1), said.reshape(-1), average="macro")
    assert measure_metric("f1", {"y": np.moveaxis(pixels, 1, -1)}, classes) == pytest.approx(f1)


PIXELS = np.zeros((2, 3, 4, 4), "f4")


@pytest.mark.parametrize(
    ("name", "values", "labels", "words"),
    [
        ("f1", np.zeros(2, "f4"), np.array([0, 0]), "needs rows of class 1, all labels are 0"),
        ("f1", np.zeros((2, 1), "f4"), np.array([0, 2]), "classes are numbered 0 to 1"),
        ("f1", np.zeros((2, 3, 1), "f4"), np.zeros((2, 3), "i8"), "two or more scores"),
        ("f1", np.zeros((2, 3), "f4"), np.array([0, 3]), "classes are numbered 0 to 2"),
        ("f1", np.zeros(2, "f4"), np.array([[0], [1]]), r"labels of shape \[2\]"),
        ("iou", PIXELS, np.zeros((2, 3, 4), "i8"), r"labels of shape \[2, 4, 4\]"),
        ("iou", PIXELS, np.full((2, 4, 4), 255), "run from 255 to 255, .* 0 to 2"),
        ("iou", PIXELS[:, :1], np.zeros((2, 4, 4), "i8"), r"in axis 1 of output 'y'.*\[2, 1, 4"),
        ("iou", PIXELS[:, 0, 0, 0], np.zeros(2, "i8"), "in axis 1 of output 'y'"),
        ("iou", np.zeros((2, 3), "i8"), np.zeros(2, "i8"), r"labels of shape \[2, 3\]"),
    ],
)
def test_refuses_what_cannot_be_measured(
    name: str, values: Array, labels: Array, words: str
) -> None:
    """Data that do not fit are an error, never a number."""
    with pytest.raises(BundleError, match=f"{name}.*{words}"):
        measure_metric(name, {"y": values}, labels)
