"""Weights stored in eight bits and unfolded when the model is loaded: smaller to keep and to send.

The engine folds `Cast` and `Mul` of constants while it loads a model, so it runs what it would run in
float, as fast, with weights that were rounded. This is what is left for layers that no engine runs in
integers, such as a GRU. Needs `onnx`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edgeconsole.protocol.tensors import Array

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

_LEAST_ELEMENTS: Final = 512
"""Below this the nodes that unfold a tensor need more than is saved."""
_MOST_SCALES: Final = 1 / 16
"""Of a tensor's elements: each scale takes four bytes."""
_LIMIT: Final = 127


def store_in_bytes(source: Path, out: Path) -> int:
    """Write a model whose large float32 weights are int8; returns how many there are."""
    import onnx

    model = onnx.load(source)
    graph = model.graph
    # What is an input as well may be overridden.
    inputs = {each.name for each in graph.input}
    weights = [
        each for each in graph.initializer if _is_large_float(each) and each.name not in inputs
    ]
    for tensor in weights:
        _unfold_at_load(graph, tensor)
    onnx.save(model, out)
    return len(weights)


def _is_large_float(tensor: TensorProto) -> bool:
    from onnx import TensorProto

    return (
        tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) >= 2
        and int(np.prod(tensor.dims)) >= _LEAST_ELEMENTS
    )


def _unfold_at_load(graph: GraphProto, tensor: TensorProto) -> None:
    """Put `Mul(Cast(int8), scales)` in a tensor's place."""
    from onnx import TensorProto, helper, numpy_helper

    name = tensor.name
    whole, scales = rounded(numpy_helper.to_array(tensor))
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(whole, f"{name}/int8"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}/scale"))
    cast = helper.make_node(
        "Cast", [f"{name}/int8"], [f"{name}/cast"], name=f"{name}/Cast", to=TensorProto.FLOAT
    )
    times = helper.make_node("Mul", [f"{name}/cast", f"{name}/scale"], [name], name=f"{name}/Mul")
    graph.node.insert(0, times)
    graph.node.insert(0, cast)


def rounded(weights: Array) -> tuple[Array, Array]:
    """Return int8 and the float32 scales to multiply it with, of the shape that loses least."""
    best: tuple[float, Array, Array] | None = None
    for axes in _axes(weights.shape):
        largest = np.max(np.abs(weights), axis=axes, keepdims=True)
        scales = np.where(largest > 0, largest / _LIMIT, 1.0).astype(np.float32)
        whole = np.clip(np.rint(weights / scales), -_LIMIT, _LIMIT).astype(np.int8)
        lost = float(np.sum((weights - whole * scales) ** 2))
        if best is None or lost < best[0]:
            best = lost, whole, scales
    assert best is not None
    return best[1], best[2]


def _axes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield which axes share a scale: all, all but one, or only one, as far as scales stay few."""
    every = tuple(range(len(shape)))
    choices = {
        every,
        *(tuple(a for a in every if a != one) for one in every),
        *((a,) for a in every),
    }
    elements = int(np.prod(shape))
    for axes in sorted(choices):
        shared = int(np.prod([shape[axis] for axis in axes]))
        if axes == every or elements // shared <= _MOST_SCALES * elements:
            yield axes
