"""`mae` and `rmse`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from edgeconsole.bundle.metrics import measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

VALUES = np.array([[1.0], [2.0], [4.0]], "f4")
LABELS = np.array([1.0, 0.0, 0.0], "f4")


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype("i8"), LABELS.tolist()])
def test_one_value_per_row(labels: object) -> None:
    """Outputs `[rows, 1]` are compared with labels `[rows]` row by row, never crosswise."""
    given = np.asarray(labels)
    assert measure_metric("mae", {"y": VALUES}, given) == 2
    assert measure_metric("rmse", {"y": VALUES}, given) == pytest.approx((20 / 3) ** 0.5)


def test_small_differences_of_narrow_types() -> None:
    """Differences are taken in double precision: narrow floats and unsigned do not overflow."""
    half = {"y": np.full(4, 6e4, "f2")}
    assert measure_metric("rmse", half, np.full(4, -6e4)) == pytest.approx(12e4, rel=1e-3)
    assert measure_metric("mae", {"y": np.array([1], "u1")}, np.array([3])) == 2


def test_like_scikit_learn(rng: np.random.Generator) -> None:
    """Errors of random numbers with several values per row are scikit-learn's."""
    values, labels = rng.normal(size=(100, 3)), rng.normal(size=(100, 3))
    mae = theirs.mean_absolute_error(labels, values)
    assert measure_metric("mae", {"y": values}, labels) == pytest.approx(mae)
    rmse = theirs.mean_squared_error(labels, values) ** 0.5
    assert measure_metric("rmse", {"y": values}, labels) == pytest.approx(rmse)


@pytest.mark.parametrize("name", ["mae", "rmse"])
@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (VALUES[:, 0], LABELS[:, None], r"labels of shape \[3\].*not \[3, 1\]"),
        (VALUES, LABELS[None], r"labels of shape \[3, 1\].*not \[1, 3\]"),
        (VALUES, LABELS[:1], r"labels of shape \[3\].*not \[1\]"),
        (VALUES, LABELS[:1, None], r"labels of shape \[3, 1\].*not \[1, 1\]"),
        (VALUES[:, None], LABELS[:, None], r"labels of shape \[3, 1, 1\]"),
        (np.ones((3, 2), "f4"), LABELS, r"labels of shape \[3, 2\].*not \[3\]"),
        (VALUES, LABELS * np.nan, "labels hold NaN or infinite"),
        (VALUES, LABELS + np.inf, "labels hold NaN or infinite"),
        (VALUES + np.inf, LABELS, "the output is infinite"),
        (VALUES, LABELS > 0, "needs numbers as labels, not bool"),
        (VALUES > 0, LABELS, "needs numbers, output 'y' is BOOL"),
    ],
)
def test_refuses_what_cannot_be_measured(
    name: str, values: Array, labels: Array, words: str
) -> None:
    """Shapes that numpy would broadcast, and values without a distance, are errors."""
    with pytest.raises(BundleError, match=f"{name}.*{words}"):
        measure_metric(name, {"y": values}, labels)


def test_a_square_that_is_too_large() -> None:
    """An overflow is an error, without a warning."""
    with pytest.raises(BundleError, match=r"rmse.*too far from the labels"):
        measure_metric("rmse", {"y": np.array([1e200])}, np.array([-1e200]))
