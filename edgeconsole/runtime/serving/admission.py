"""Checks a request against the manifest of the model it is for, before anything is queued."""

from __future__ import annotations

from dataclasses import dataclass

from edgeconsole.bundle import Manifest
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import InferRequest
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec, has_non_finite


@dataclass(frozen=True, slots=True)
class Fit:
    """How requests with the same names, shapes and datatypes go into one model."""

    manifest: Manifest
    input_names: tuple[str, ...]
    float_names: tuple[str, ...]
    """The inputs that can hold NaN or infinity."""
    rows: int
    size_bytes: int
    shapes: tuple[tuple[int, ...], ...] | None
    """The inputs' shapes without the batch; `None` if requests cannot share a batch."""


def check_request(manifest: Manifest, request: InferRequest) -> Fit:
    """Return how a request fits a model; what was found out for its layout is not found out again.

    Raises:
        RequestError: a name, datatype, shape, batch or value does not fit; the message says which
            and what the model expects.
    """
    layout = request.layout
    fit = layout.fit if layout is not None else None
    if not isinstance(fit, Fit) or fit.manifest is not manifest:
        fit = _check_layout(manifest, request)
        if layout is not None:
            layout.fit = fit
    for name in fit.float_names:
        if has_non_finite(request.inputs[name]):
            raise RequestError(ErrorCode.BAD_VALUE, f"input {name!r} holds NaN or infinity")
    return fit


def _check_layout(manifest: Manifest, request: InferRequest) -> Fit:
    expected = tuple(spec.name for spec in manifest.inputs)
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
    batched = manifest.is_batched
    return Fit(
        manifest=manifest,
        input_names=expected,
        float_names=tuple(spec.name for spec in manifest.inputs if spec.datatype.is_float),
        rows=arrays[0].shape[0] if batched else 1,
        size_bytes=sum(array.nbytes for array in arrays),
        shapes=tuple(array.shape[1:] for array in arrays) if batched else None,
    )


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
    return array
