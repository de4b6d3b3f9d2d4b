"""Named tensors in the safetensors format, checked against a manifest's tensor descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy

from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec

INPUTS: Final = "inputs."
OUTPUTS: Final = "outputs."
LABELS: Final = "labels"


def encode_tensors(tensors: Mapping[str, Array]) -> bytes:
    """Encode named tensors; raises `BundleError` for a datatype the format cannot carry."""
    plain: dict[str, Array] = {}
    for name, tensor in tensors.items():
        try:
            dtype = Datatype.of(tensor.dtype).dtype
        except ValueError as error:
            raise BundleError(f"tensor {name!r}: {error}") from error
        # safetensors writes the raw buffer: a transposed view would come back scrambled.
        plain[name] = np.array(tensor, dtype=dtype, order="C")
    return safetensors.numpy.save(plain)


def decode_tensors(data: bytes, *, where: str) -> dict[str, Array]:
    """Decode a safetensors file; raises `BundleError` if it is damaged."""
    try:
        return dict(safetensors.numpy.load(data))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{where}: not a readable safetensors file: {error}") from error


def take(
    tensors: Mapping[str, Array], prefix: str, specs: Sequence[TensorSpec], *, where: str
) -> dict[str, Array]:
    """Return the tensors under `prefix` in the order of `specs`, each checked.

    Raises `BundleError` for a tensor that is missing, unknown, of another datatype or shape, or,
    where the first dimension is the batch, of another number of rows than its neighbours.
    """
    have = {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    want = {spec.name for spec in specs}
    if have != want:
        raise BundleError(
            f"{where}: holds {prefix}* {sorted(have)}, the manifest names {sorted(want)}"
        )
    found = {spec.name: _checked(tensors[prefix + spec.name], spec, where) for spec in specs}
    rows = {found[spec.name].shape[0] for spec in specs if spec.is_batched}
    if len(rows) > 1:
        raise BundleError(f"{where}: {prefix}* differ in their number of rows: {sorted(rows)}")
    return found


def row_specs(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return descriptions of data sets: the same tensors with a free first dimension."""
    return tuple(TensorSpec(spec.name, spec.datatype, (-1, *spec.shape[1:])) for spec in specs)


def _checked(tensor: Array, spec: TensorSpec, where: str) -> Array:
    if tensor.dtype != spec.datatype.dtype:
        raise BundleError(
            f"{where}: {spec.name!r} is {tensor.dtype}, the manifest says {spec.datatype}"
        )
    if not spec.fits(tensor.shape):
        raise BundleError(
            f"{where}: {spec.name!r} has shape {list(tensor.shape)}, "
            f"the manifest says {list(spec.shape)}"
        )
    return tensor
