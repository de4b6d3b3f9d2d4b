"""Small files for LiteRT, written operator by operator: what makes them is too large to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

SUBTRACT, ABSOLUTE = "SUB", "ABS"
Operator = tuple[str, Sequence[str], str]
"""What it does, from which tensors, to which."""


def tflite(
    inputs: Sequence[str],
    operators: Sequence[Operator],
    outputs: Sequence[str],
    *,
    shape: Sequence[int] = (1, 4),
    names: Mapping[str, str] | None = None,
) -> bytes:
    """Return a file whose tensors, all float32 of one shape, are in the order given here.

    `names` are what the signature calls them; by default as they are called here. Skips the test
    where LiteRT is not installed.
    """
    s = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="LiteRT is not installed")
    import flatbuffers

    called = names or {}
    tensors = [*inputs, *(to for _, _, to in operators)]
    graph = s.SubGraphT()
    graph.tensors = [_tensor(s, name, shape) for name in tensors]
    graph.inputs = [tensors.index(name) for name in inputs]
    graph.outputs = [tensors.index(name) for name in outputs]
    kinds = sorted({kind for kind, _, _ in operators})
    graph.operators = []
    for kind, given, to in operators:
        operator = s.OperatorT()
        operator.opcodeIndex = kinds.index(kind)
        operator.inputs = [tensors.index(name) for name in given]
        operator.outputs = [tensors.index(to)]
        if kind == SUBTRACT:
            operator.builtinOptionsType = s.BuiltinOptions.SubOptions
            operator.builtinOptions = s.SubOptionsT()
        graph.operators.append(operator)
    signature = s.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.inputs = [_named(s, called.get(name, name), tensors.index(name)) for name in inputs]
    signature.outputs = [_named(s, called.get(name, name), tensors.index(name)) for name in outputs]
    model = s.ModelT()
    model.version = 3
    model.operatorCodes = [_code(s, kind) for kind in kinds]
    model.subgraphs = [graph]
    model.buffers = [s.BufferT()]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(s, name: str, shape: Sequence[int]):
    tensor = s.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
    tensor.type = s.TensorType.FLOAT32
    return tensor


def _code(s, kind: str):
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, kind)
    code.version = 1
    return code


def _named(s, name: str, index: int):
    named = s.TensorMapT()
    named.name, named.tensorIndex = name, index
    return named
