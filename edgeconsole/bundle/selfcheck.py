"""Comparing a model's outputs with golden ones; used when packing and before serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from edgeconsole.engines import Precision
from edgeconsole.protocol.tensors import Array, Datatype

RELATIVE_TOLERANCE: Final = {Datatype.FP16: 1e-2, Datatype.FP32: 1e-3, Datatype.FP64: 1e-6}
"""Largest allowed difference as a part of the expected tensor's largest magnitude.

Wide enough for another engine's order of summation, narrow enough for a wrong kernel. Integers and
booleans must be equal.
"""
ABSOLUTE_TOLERANCE: Final = {Datatype.FP16: 1e-3, Datatype.FP32: 1e-6, Datatype.FP64: 1e-12}
"""What is allowed in addition, so that outputs of zeros can be compared."""
PRECISION_TOLERANCE: Final = {Precision.FP32: 0.0, Precision.FP16: 1e-2, Precision.BF16: 3e-2}
"""What is allowed of 32-bit outputs that were computed in less: another processor rounds elsewhere.

A step of bf16 is 2⁻⁸ of a value.
"""


def compare_outputs(
    expected: Mapping[str, Array],
    got: Mapping[str, Array],
    precision: Precision = Precision.FP32,
) -> str | None:
    """Return why `got` is not what the golden outputs promise, or `None` if it is.

    `precision` is what both were computed in. Names, datatypes and shapes must be equal, infinities
    must be in the same places, NaN is always wrong, and values must lie within the tolerances above.
    """
    if set(expected) != set(got):
        return f"outputs are {sorted(got)}, expected {sorted(expected)}"
    for name, array in expected.items():
        reason = compare_tensor(array, got[name], Datatype.of(array.dtype), precision)
        if reason is not None:
            return f"output {name!r} {reason}"
    return None


def compare_tensor(
    expected: Array, got: Array, datatype: Datatype, precision: Precision = Precision.FP32
) -> str | None:
    """Return why one tensor differs from the expected one, or `None` within tolerance.

    `datatype` is the manifest's; the reason reads as the end of a sentence ("has shape ...").
    """
    if got.dtype != datatype.dtype:
        return f"is {got.dtype}, expected {datatype}"
    if got.shape != expected.shape:
        return f"has shape {list(got.shape)}, expected {list(expected.shape)}"
    if not datatype.is_float:
        wrong = int(np.count_nonzero(got != expected))
        return f"differs in {wrong} of {got.size} values" if wrong else None
    if np.isnan(got).any():
        return "holds NaN"
    if np.isnan(expected).any():
        return "cannot be compared: the golden output holds NaN"
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite]) or not np.isfinite(got[finite]).all():
        return "holds infinities where the golden output has none, or the other way round"
    return _compare_finite(expected[finite], got[finite], datatype, precision)


def _compare_finite(
    expected: Array, got: Array, datatype: Datatype, precision: Precision
) -> str | None:
    if not expected.size:
        return None
    wide = expected.astype(np.float64)
    worst = float(np.max(np.abs(got.astype(np.float64) - wide)))
    largest = float(np.max(np.abs(wide)))
    relative = max(RELATIVE_TOLERANCE[datatype], PRECISION_TOLERANCE[precision])
    allowed = ABSOLUTE_TOLERANCE[datatype] + relative * largest
    if worst <= allowed:
        return None
    return f"is off by {worst:.3g} at worst, allowed is {allowed:.3g} ({datatype})"
