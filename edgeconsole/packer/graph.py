"""Making an ONNX graph fit for any device: no strange operators, no stray files, no metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import onnx

from edgeconsole.errors import PackError

STANDARD_DOMAINS: Final = frozenset({"", "ai.onnx"})
_BATCH: Final = "batch"


def clean_graph(model: onnx.ModelProto) -> bytes:
    """Return the serialised model without the exporter's notes, its batch dimension named.

    Notes hold source lines and file names of the machine the model was packed on. Raises
    `PackError` for operators outside the ONNX standard, external data, and models of 2 GiB.
    """
    model.doc_string = ""
    del model.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        _clean_nodes(function.node)
    for graph in _graphs(model.graph):
        _clean_one(graph)
    used = {node.domain for nodes in _all_nodes(model) for node in nodes}
    strange = sorted(used - STANDARD_DOMAINS - {function.domain for function in model.functions})
    if strange:
        raise PackError(
            f"the exported model uses operators of the domain {strange[0]!r}",
            hint="devices run standard ONNX operators only; replace the custom operator",
        )
    kept = [entry for entry in model.opset_import if entry.domain in used | {""}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    _name_batch(model.graph)
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # protobuf's type for this differs by release
        raise PackError(f"the model is too large for one ONNX file: {error}") from error


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, attribute.g):
                if inner.node:
                    yield from _graphs(inner)


def _all_nodes(model: onnx.ModelProto) -> Iterator[Iterator[onnx.NodeProto]]:
    for graph in _graphs(model.graph):
        yield iter(graph.node)
    for function in model.functions:
        yield iter(function.node)


def _clean_one(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for initializer in graph.initializer:
        if initializer.data_location == onnx.TensorProto.EXTERNAL or initializer.external_data:
            raise PackError(f"weight {initializer.name!r} would lie outside the ONNX file")
        initializer.doc_string = ""
        del initializer.metadata_props[:]
    for info in (*graph.input, *graph.output, *graph.value_info):
        info.doc_string = ""
        del info.metadata_props[:]
    _clean_nodes(graph.node)


def _clean_nodes(nodes: object) -> None:
    for node in nodes:  # type: ignore[attr-defined]
        node.doc_string = ""
        del node.metadata_props[:]


def _name_batch(graph: onnx.GraphProto) -> None:
    """Rename the exporter's symbol (`s95`) of the inputs' first dimension."""
    dims = [info.type.tensor_type.shape.dim for info in graph.input]
    symbols = {dim[0].dim_param for dim in dims if len(dim) and dim[0].dim_param}
    if len(symbols) != 1:
        return
    word = re.compile(rf"\b{re.escape(symbols.pop())}\b")
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = word.sub(_BATCH, dim.dim_param)
