"""Checks a request against the manifest of the model it is for, before anything is queued."""

from __future__ import annotations

from edgeconsole.bundle import Manifest
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import InferRequest
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec, has_non_finite


def check_inputs(manifest: Manifest, request: InferRequest) -> list[Array]:
    """Return the request's arrays in the manifest's order.

    Raises:
        RequestError: a name, datatype, shape, batch or value does not fit; the message says which
            and what the model expects.
    """
    expected = [spec.name for spec in manifest.inputs]
    for name in request.inputs:
        if name not in expected:
            raise RequestError(
                ErrorCode.BAD_INPUT_NAME,
                f"{manifest.model!r} has no input {name!r}; it has {', '.join(expected)}",
            )
    known = {spec.name for spec in manifest.outputs}
    for name in request.output_names:
        if name not in known:
            raise RequestError(
                ErrorCode.BAD_PARAMETER,
                f"{manifest.model!r} has no output {name!r}; it has {', '.join(sorted(known))}",
            )
    arrays = [_check_input(spec, request.inputs.get(spec.name)) for spec in manifest.inputs]
    batches = {
        array.shape[0]
        for spec, array in zip(manifest.inputs, arrays, strict=True)
        if spec.is_batched
    }
    if len(batches) > 1:
        raise RequestError(
            ErrorCode.BAD_SHAPE, f"the inputs differ in their batch dimension: {sorted(batches)}"
        )
    if 0 in batches:
        raise RequestError(ErrorCode.BAD_SHAPE, "the batch is empty; send at least one row")
    return arrays


def _check_input(spec: TensorSpec, array: Array | None) -> Array:
    if array is None:
        raise RequestError(
            ErrorCode.BAD_INPUT_NAME,
            f"input {spec.name!r} is missing ({spec.datatype} {list(spec.shape)})",
        )
    if array.dtype != spec.datatype.dtype:
        raise RequestError(
            ErrorCode.BAD_DATATYPE,
            f"input {spec.name!r} is {Datatype.of(array.dtype)}, expected {spec.datatype}",
        )
    if not spec.fits(array.shape):
        raise RequestError(
            ErrorCode.BAD_SHAPE,
            f"input {spec.name!r} has shape {list(array.shape)}, expected {list(spec.shape)}"
            + (" (-1 is the batch)" if spec.is_batched else ""),
        )
    if has_non_finite(array):
        raise RequestError(ErrorCode.BAD_VALUE, f"input {spec.name!r} holds NaN or infinity")
    return array
