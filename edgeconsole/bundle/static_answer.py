"""Static answers: what a person declared to be the answer when no model can give one.

A declaration has every output of the model. One number stands for all values of an output; a nested
list is one row (or, of an output without a batch, the whole). So classification says "unknown" with
equal scores or a class of its own, detection says "no objects" with an empty list where the number of
objects is free, regression names its constant. Nothing is filled in that was not declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeconsole.protocol.tensors import Array, TensorSpec


def static_rows(outputs: Sequence[TensorSpec], declared: Mapping[str, Any]) -> dict[str, Array]:
    """Return one row of each output; raises `ValueError` that says which output and what is wrong."""
    known = [spec.name for spec in outputs]
    strange = sorted(set(declared) - set(known))
    if strange:
        raise ValueError(
            f"static_answer has {strange[0]!r}, the model's outputs are {', '.join(known)}"
        )
    missing = [name for name in known if name not in declared]
    if missing:
        raise ValueError(f"static_answer lacks output {missing[0]!r}: every output must be there")
    return {spec.name: _row(spec, declared[spec.name]) for spec in outputs}


def _row(spec: TensorSpec, value: Any) -> Array:
    shape = spec.shape[1:] if spec.is_batched else spec.shape
    where = f"static_answer of {spec.name!r}"
    if not isinstance(value, list):
        if any(dim < 0 for dim in shape):
            raise ValueError(f"{where} must be a list: its shape {list(spec.shape)} is free")
        return np.full(shape, _scalar(spec, value, where), spec.datatype.dtype)
    try:
        plain = np.array(value)
    except ValueError as error:
        raise ValueError(f"{where} is nested unevenly") from error
    row = _typed(spec, plain, where)
    if not value and shape[:1] == (-1,):
        row = row.reshape((0, *(max(dim, 0) for dim in shape[1:])))
    if not TensorSpec(spec.name, spec.datatype, shape).fits(row.shape):
        raise ValueError(f"{where} has shape {list(row.shape)}, one row has {list(shape)}")
    return row


def _scalar(spec: TensorSpec, value: Any, where: str) -> Array:
    if not isinstance(value, bool | int | float):
        raise ValueError(f"{where} must be a number or a list of numbers, got {value!r}")  # noqa: TRY004
    return _typed(spec, np.array(value), where)


def _typed(spec: TensorSpec, plain: Array, where: str) -> Array:
    """Convert without changing any value: no NaN, no fractions or overflow in integers."""
    dtype = spec.datatype.dtype
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[dtype.kind]
    if plain.size and plain.dtype.kind not in kinds:
        raise ValueError(f"{where} holds values that are not {spec.datatype}")
    with np.errstate(over="ignore"):
        typed: Array = plain.astype(dtype)
    if dtype.kind == "f":
        if not bool(np.isfinite(typed).all()):
            raise ValueError(f"{where} holds NaN, infinity or a value too large")
    elif plain.size and not np.array_equal(typed.astype(plain.dtype), plain):
        raise ValueError(f"{where} holds a value that {spec.datatype} cannot hold")
    return typed
