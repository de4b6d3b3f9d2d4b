"""Checking calibration and evaluation data against the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from edgeconsole.errors import PackError
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec

_KINDS: Final = {"b": "b", "i": "i", "u": "i", "f": "f"}


def plain_array(value: object, where: str) -> Array:
    """Return a numpy array of an array, a torch tensor or nested lists; raises `PackError`."""
    detach = getattr(value, "detach", None)
    if detach is not None:
        value = detach().cpu().numpy()
    try:
        array: Array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise PackError(f"{where}: cannot be read as an array: {error}") from None
    if array.dtype.kind not in _KINDS:
        raise PackError(f"{where}: {array.dtype} is not a numeric type", hint="give numbers")
    return array


def cast_exactly(array: Array, datatype: Datatype, where: str) -> Array:
    """Return the array in another datatype of its kind if no value changes.

    So float64 data that came from float32 fit an FP32 input, and int32 labels an INT64 one.
    Raises `PackError` if a value would change, or for floats where integers belong and the other
    way round: that is usually a forgotten scaling.
    """
    target = datatype.dtype
    if array.dtype == target:
        return array
    advice = f"convert it first: array.astype('{target.name}')"
    if _KINDS[array.dtype.kind] != _KINDS[target.kind]:
        raise PackError(f"{where}: is {array.dtype}, the input is {datatype}", hint=advice)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(target)
        # Compared in the wider type: numpy would compare uint64 with int64 as floats.
        same = (cast.astype(array.dtype) == array) & ((cast < 0) == (array < 0))
    if not bool(same.all()):
        raise PackError(
            f"{where}: is {array.dtype} and its values do not fit {datatype} exactly", hint=advice
        )
    return cast


def check_rows(
    given: object, specs: Sequence[TensorSpec], where: str
) -> tuple[dict[str, Array], int]:
    """Return a data set's arrays in the order of the inputs, and the number of rows.

    `given` maps each input's name to an array `[rows, ...]`. For a model with a fixed batch the
    rows must be a multiple of it. Raises `PackError` that names the array.
    """
    if not isinstance(given, Mapping):
        raise PackError(
            f"{where}: must map input names to arrays, got {type(given).__name__}",
            hint=f"give {{{', '.join(repr(spec.name) for spec in specs)}: ...}}",
        )
    names = [spec.name for spec in specs]
    if set(given) != set(names):
        raise PackError(
            f"{where}: has arrays for {sorted(map(str, given))}, the model's inputs are {names}"
        )
    batch = _shared_batch(specs, where)
    found = {spec.name: _rows(given[spec.name], spec, f"{where} {spec.name!r}") for spec in specs}
    rows = {name: array.shape[0] for name, array in found.items()}
    if len(set(rows.values())) > 1:
        raise PackError(f"{where}: the arrays differ in their number of rows: {rows}")
    count = next(iter(rows.values()))
    if count == 0 or (batch != -1 and count % batch):
        need = "at least one row" if batch == -1 else f"rows in multiples of {batch}"
        raise PackError(f"{where}: has {count} rows, needs {need}")
    return found, count


def split_pair(evaluation: object) -> tuple[object, object]:
    """Return the inputs and the labels of evaluation data; raises `PackError`."""
    if not isinstance(evaluation, tuple | list) or len(evaluation) != 2:
        raise PackError("evaluation is not a pair", hint="give (arrays by input name, labels)")
    return evaluation[0], evaluation[1]


def check_labels(value: object, rows: int) -> Array:
    """Return evaluation labels as an array with `rows` rows; raises `PackError`.

    Integers become INT64. Which labels are right is for the metric to say.
    """
    where = "evaluation labels"
    array = plain_array(value, where)
    if array.shape[:1] != (rows,):
        raise PackError(f"{where}: shape is {list(array.shape)}, the inputs have {rows} rows")
    if array.dtype.kind in "iu":
        array = cast_exactly(array, Datatype.INT64, where)
    _refuse_nan(array, where)
    return array


def _rows(value: object, spec: TensorSpec, where: str) -> Array:
    array = plain_array(value, where)
    if array.ndim != len(spec.shape) or array.shape[1:] != spec.shape[1:]:
        want = ", ".join(["rows", *map(str, spec.shape[1:])])
        raise PackError(f"{where}: shape is {list(array.shape)}, the model needs [{want}]")
    _refuse_nan(array, where)
    return cast_exactly(array, spec.datatype, where)


def _refuse_nan(array: Array, where: str) -> None:
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise PackError(f"{where}: holds NaN or infinite values", hint="clean the data first")


def _shared_batch(specs: Sequence[TensorSpec], where: str) -> int:
    batches = {spec.shape[0] if spec.shape else None for spec in specs}
    batch = batches.pop() if len(batches) == 1 else None
    if batch is None or batch == 0:
        raise PackError(
            f"{where}: the model's inputs do not share a first dimension, so it has no rows",
            hint="pack this model without calibration and evaluation data",
        )
    return batch
