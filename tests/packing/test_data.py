"""Calibration and evaluation data: what is taken, what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle
from edgeconsole.errors import PackError
from edgeconsole.packer.data import cast_exactly, check_labels, check_rows
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec

X = TensorSpec("x", Datatype.FP32, (-1, 3))
IDS = TensorSpec("ids", Datatype.INT64, (-1,))
ROWS = np.ones((4, 3), "f4")


def test_data_sets_are_stored(pack: Callable[..., Bundle]) -> None:
    """Data sets come back in the model's types, labels as INT64."""
    bundle = pack(
        nn.Linear(3, 2),
        torch.randn(1, 3),
        task="classification",
        calibration={"input": ROWS.astype("f8")},
        evaluation=({"input": torch.from_numpy(ROWS)}, [0, 1, 1, 0]),
    )
    calibration, evaluation = bundle.calibration(), bundle.evaluation()
    assert calibration is not None
    assert calibration["input"].dtype == np.float32
    assert evaluation is not None
    assert evaluation[0]["input"].tolist() == ROWS.tolist()
    assert evaluation[1].dtype == np.int64
    assert evaluation[1].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1, 2, 0]), "run from 0 to 2, classes are numbered 0 to 1"),
        (np.array([0.0, 1, 1, 0]), "accuracy needs integer labels"),
        (np.zeros((4, 1), "i8"), r"labels of shape \[4\]"),
    ],
)
def test_metric_must_be_measurable(pack: Callable[..., Bundle], labels: Array, words: str) -> None:
    """Labels the metric cannot be measured against are refused when packing."""
    with pytest.raises(PackError, match=words):
        pack(
            nn.Linear(3, 2),
            torch.randn(1, 3),
            task="classification",
            evaluation=({"input": ROWS}, labels),
            include_pt2=False,
        )


def test_evaluation_is_a_pair(pack: Callable[..., Bundle]) -> None:
    """Evaluation without labels is refused with the form to use."""
    with pytest.raises(PackError, match=r"not a pair.*labels"):
        pack(nn.Linear(3, 2), torch.randn(1, 3), evaluation={"input": ROWS}, include_pt2=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([ROWS], "must map input names to arrays, got list"),
        ({"x": ROWS}, r"has arrays for \['x'\], the model's inputs are \['x', 'ids'\]"),
        ({"x": ROWS, "ids": np.arange(3)}, r"differ in their number of rows: \{'x': 4, 'ids': 3\}"),
        ({"x": ROWS[:, :2], "ids": np.arange(4)}, r"'x': shape is \[4, 2\], .* \[rows, 3\]"),
        ({"x": ROWS[0], "ids": np.arange(4)}, r"'x': shape is \[3\]"),
        ({"x": ROWS * np.nan, "ids": np.arange(4)}, "'x': holds NaN"),
        ({"x": ROWS * np.inf, "ids": np.arange(4)}, "'x': holds NaN or infinite"),
        ({"x": ROWS.astype("u1"), "ids": np.arange(4)}, r"is uint8.*FP32.*astype\('float32'\)"),
        ({"x": ROWS / np.float64(3), "ids": np.arange(4)}, "do not fit FP32 exactly"),
        ({"x": ROWS, "ids": np.arange(4.0)}, "is float64, the input is INT64"),
        ({"x": ROWS, "ids": ["a"] * 4}, "is not a numeric type"),
        ({"x": [[1], [1, 2]], "ids": np.arange(4)}, "cannot be read as an array"),
        ({"x": ROWS[:0], "ids": np.arange(0)}, "has 0 rows, needs at least one row"),
    ],
)
def test_unfit_rows(given: object, words: str) -> None:
    """Each way data can disagree with the inputs is refused by the array's name."""
    with pytest.raises(PackError, match=words):
        check_rows(given, (X, IDS), "calibration")


def test_rows_of_a_fixed_batch() -> None:
    """For a fixed batch the rows are a multiple of it; without one there are no rows."""
    fixed = TensorSpec("x", Datatype.FP32, (2, 3))
    assert check_rows({"x": ROWS}, (fixed,), "evaluation")[1] == 4
    with pytest.raises(PackError, match="has 3 rows, needs rows in multiples of 2"):
        check_rows({"x": ROWS[:3]}, (fixed,), "evaluation")
    scalar = TensorSpec("k", Datatype.FP32, ())
    with pytest.raises(PackError, match="do not share a first dimension"):
        check_rows({"x": ROWS, "k": np.float32(1)}, (fixed, scalar), "evaluation")


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([0.5]), Datatype.FP32),
        (np.array([0.5], "f4"), Datatype.FP64),
        (np.array([255]), Datatype.UINT8),
        (np.array([3], "u8"), Datatype.INT32),
    ],
)
def test_exact_casts(array: Array, datatype: Datatype) -> None:
    """Another width of the same kind is taken if every value survives."""
    cast = cast_exactly(array, datatype, "data")
    assert cast.dtype == datatype.dtype
    assert cast.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([0.1]), Datatype.FP32),
        (np.array([1e300]), Datatype.FP32),
        (np.array([256]), Datatype.UINT8),
        (np.array([-1]), Datatype.UINT64),
        (np.array([1 << 63], "u8"), Datatype.INT64),
        (np.array([True]), Datatype.INT64),
    ],
)
def test_inexact_casts(array: Array, datatype: Datatype) -> None:
    """A cast that would change a value, or its kind, is refused with the conversion to write."""
    with pytest.raises(PackError, match="astype"):
        cast_exactly(array, datatype, "data")


def test_labels() -> None:
    """Labels need a row each; integers are widened, floats must be finite."""
    assert check_labels(np.array([[3], [-1]], "i4"), 2).dtype == np.int64
    with pytest.raises(PackError, match=r"shape is \[3\], the inputs have 2 rows"):
        check_labels([1, 2, 3], 2)
    with pytest.raises(PackError, match="holds NaN"):
        check_labels([0.5, np.nan], 2)
