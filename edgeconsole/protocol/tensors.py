"""Open Inference Protocol datatypes and tensor descriptions, and their numpy counterparts.

Source: KServe Open Inference Protocol (V2), section "Tensor Data Types".
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_BLAS_ITEM: Final = 4
_SMALL: Final = 8_192
"""Longer vectors make BLAS start threads for a product."""


class Datatype(StrEnum):
    """A fixed-size V2 datatype.

    BF16 and BYTES exist in the protocol but have no fixed-size numpy type, so they are not here.
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the little-endian numpy dtype."""
        return _DTYPES[self]

    @property
    def is_float(self) -> bool:
        """Say whether NaN and infinity can occur."""
        return self.dtype.kind == "f"

    @classmethod
    def of(cls, dtype: npt.DTypeLike) -> Datatype:
        """Return the datatype of a numpy dtype; raises `ValueError` for one V2 cannot carry."""
        exact = np.dtype(dtype)
        found = _BY_DTYPE.get(exact) or _BY_DTYPE.get(exact.newbyteorder("<"))
        if found is None:
            raise ValueError(
                f"numpy dtype {np.dtype(dtype)} has no Open Inference Protocol datatype"
            )
        return found


_DTYPES: Final[dict[Datatype, np.dtype[Any]]] = {
    Datatype.BOOL: np.dtype("?"),
    Datatype.UINT8: np.dtype("u1"),
    Datatype.UINT16: np.dtype("<u2"),
    Datatype.UINT32: np.dtype("<u4"),
    Datatype.UINT64: np.dtype("<u8"),
    Datatype.INT8: np.dtype("i1"),
    Datatype.INT16: np.dtype("<i2"),
    Datatype.INT32: np.dtype("<i4"),
    Datatype.INT64: np.dtype("<i8"),
    Datatype.FP16: np.dtype("<f2"),
    Datatype.FP32: np.dtype("<f4"),
    Datatype.FP64: np.dtype("<f8"),
}
_BY_DTYPE: Final[dict[np.dtype[Any], Datatype]] = {
    dtype: datatype for datatype, dtype in _DTYPES.items()
}


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One named input or output of a model; `-1` in `shape` is a free dimension, first the batch."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]

    @property
    def is_batched(self) -> bool:
        """Say whether the first dimension is a free batch dimension."""
        return bool(self.shape) and self.shape[0] == -1

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Say whether a concrete shape is one this tensor may have."""
        return len(shape) == len(self.shape) and all(
            have == want or (want == -1 and have >= 0)
            for have, want in zip(shape, self.shape, strict=True)
        )


def element_count(shape: tuple[int, ...]) -> int:
    """Return the number of values in a concrete shape (1 for a scalar)."""
    return math.prod(shape)


def has_non_finite(array: Array) -> bool:
    """Say whether an array holds NaN or infinity; integers never do."""
    if array.dtype.kind != "f":
        return False
    # A finite sum of squares proves that all terms are, at a third of the cost.
    small = array.size <= _SMALL and array.dtype.itemsize >= _BLAS_ITEM
    return not (small and math.isfinite(np.vdot(array, array))) and not np.isfinite(array).all()
