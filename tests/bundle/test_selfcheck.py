"""Comparing outputs with golden ones."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.bundle.selfcheck import compare_outputs, compare_tensor
from edgeconsole.engines import Precision
from edgeconsole.protocol.tensors import Array, Datatype

F = np.array([[1.0, -10.0, 0.5]], "f4")
INF = np.array([[1.0, np.inf, -np.inf]], "f4")


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (F, F.copy()),
        (F, F + np.float32(0.005)),
        (INF, INF.copy()),
        (np.zeros((2, 0), "f4"), np.zeros((2, 0), "f4")),
        (np.float32(2).reshape(()), np.float32(2.001).reshape(())),
        (np.array([1, 2]), np.array([1, 2])),
        (F.astype("f2"), F.astype("f2") + np.float16(0.05)),
    ],
)
def test_accepts(expected: Array, got: Array) -> None:
    """Equal values, differences within tolerance, equal infinities and empty tensors pass."""
    assert compare_outputs({"y": expected}, {"y": got}) is None


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (F, F + np.float32(0.02), "off by 0.02 at worst, allowed is 0.01 (FP32)"),
        (F, F.astype("f8"), "is float64, expected FP32"),
        (F, F[0], "has shape [3], expected [1, 3]"),
        (F, np.full_like(F, np.nan), "holds NaN"),
        (np.full_like(F, np.nan), F, "golden output holds NaN"),
        (F, INF, "holds infinities"),
        (INF, -INF, "holds infinities"),
        (np.array([1, 2, 3]), np.array([1, 5, 4]), "differs in 2 of 3 values"),
        (np.array([True]), np.array([False]), "differs in 1 of 1 values"),
    ],
)
def test_refuses(expected: Array, got: Array, words: str) -> None:
    """Anything else gives a reason that names the output and the difference."""
    reason = compare_outputs({"y": expected}, {"y": got})
    assert reason is not None
    assert reason.startswith("output 'y' ")
    assert words in reason


def test_names_must_be_equal() -> None:
    """A missing or additional output is a reason."""
    assert compare_outputs({"y": F}, {}) == "outputs are [], expected ['y']"
    assert compare_outputs({"y": F}, {"y": F, "z": F}) is not None


def test_one_tensor_against_a_manifest_type() -> None:
    """A single tensor is compared with the type the manifest states."""
    assert compare_tensor(F, F, Datatype.FP32) is None
    assert compare_tensor(F, F, Datatype.FP16) == "is float32, expected FP16"


def test_what_was_computed_in_less_is_compared_with_less() -> None:
    """Another processor rounds bf16 elsewhere; a wrong kernel is further off than that."""
    expected = {"y": np.array([1.0, 4.0], "f4")}
    near, far = {"y": np.array([1.0, 4.05], "f4")}, {"y": np.array([1.0, 4.3], "f4")}
    assert compare_outputs(expected, near) is not None
    assert compare_outputs(expected, near, Precision.BF16) is None
    assert compare_outputs(expected, far, Precision.BF16) is not None
