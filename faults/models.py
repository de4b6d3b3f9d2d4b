"""Models whose time, memory and outputs each request commands, as bundles.

The primary reads from a row of `x` what it is to suffer from: column 0 is how often a loop turns,
column 1 how many floats are filled, column 2 what the outputs are. `y` is the payload plus `PRIMARY`, the
fallback's is the payload plus `FALLBACK`: whoever answered is seen in the values, whatever the label says.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.protocol.tensors import Datatype, TensorSpec

Floats = npt.NDArray[np.float32]

MODEL: Final = "subject"
STANDBY: Final = "standby"
COLUMNS: Final = 3
PAYLOAD: Final = 4
PRIMARY: Final = 1.0
FALLBACK: Final = 2.0
STATIC: Final = (-1.0, -2.0, -3.0, -4.0)
GIVES_NAN: Final = 1.0
GIVES_CONSTANT: Final = 2.0
ENDLESS: Final = 1e15
"""More turns than a machine has time for."""
_SIDE: Final = 64
_OPSET: Final = 20
_TRIAL_TURNS: Final = 400


def save_bundle(
    graph: onnx.GraphProto,
    golden: Mapping[str, Floats],
    path: Path,
    name: str,
    version: str,
) -> Bundle:
    """Write a graph as a bundle whose golden outputs are what it says now."""
    data = _serialise(graph)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = [each.name for each in session.get_outputs()]
    results = dict(zip(outputs, session.run(outputs, dict(golden)), strict=True))

    def specs(arrays: Mapping[str, Floats]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(key, Datatype.of(value.dtype), (-1, *value.shape[1:]))
            for key, value in arrays.items()
        )

    return write_bundle(
        path,
        Contents(onnx=data, golden_inputs=golden, golden_outputs=results),
        model=name,
        version=version,
        task=Task.CUSTOM,
        inputs=specs(golden),
        outputs=specs(results),
    )


def write_subject(path: Path, *, took_ms: float, version: str = "1") -> float:
    """Write the primary; returns how many turns of its loop take about `took_ms`."""
    graph = _subject()
    session = onnxruntime.InferenceSession(_serialise(graph), providers=["CPUExecutionProvider"])
    trial = {"x": rows(1, turns=_TRIAL_TURNS)}
    times = []
    for _ in range(7):
        started_s = time.perf_counter()
        session.run(None, trial)
        times.append(time.perf_counter() - started_s)
    turns = float(max(1, round(_TRIAL_TURNS * took_ms / (min(times) * 1e3))))
    save_bundle(graph, {"x": rows(2, turns=turns)}, path, MODEL, version)
    return turns


def write_standby(path: Path) -> None:
    """Write the fallback model."""
    nodes = [
        helper.make_node("Slice", ["x", "payload_at", "payload_end", "axis"], ["payload"]),
        helper.make_node("Add", ["payload", "plus"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, STANDBY, [_x()], [_y()], [*_payload(), _const("plus", [FALLBACK])]
    )
    save_bundle(graph, {"x": rows(2, turns=0.0)}, path, STANDBY, "1")


def rows(count: int, *, turns: float, seed: int = 0) -> Floats:
    """Return inputs that suffer from nothing."""
    x = np.zeros((count, COLUMNS + PAYLOAD), np.float32)
    x[:, 0] = turns
    x[:, COLUMNS:] = np.random.default_rng(seed).standard_normal((count, PAYLOAD))
    return x


def _serialise(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _subject() -> onnx.GraphProto:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((_SIDE, _SIDE)))[0]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("MatMul", ["h_in", "turn"], ["h_out"]),
        ],
        "turn_once",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h_in", TensorProto.FLOAT, [_SIDE, _SIDE]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h_out", TensorProto.FLOAT, [_SIDE, _SIDE]),
        ],
    )
    nodes = [
        helper.make_node("Split", ["x", "widths"], ["turns", "floats", "kind", "payload"], axis=1),
        helper.make_node("ReduceMax", ["turns"], ["most_turns"], keepdims=0),
        helper.make_node("Cast", ["most_turns"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "go", "start"], ["h"], body=body),
        helper.make_node("ReduceMax", ["floats", "rows"], ["most_floats"], keepdims=0),
        helper.make_node("Cast", ["most_floats"], ["size"], to=TensorProto.INT64),
        helper.make_node(
            "ConstantOfShape",
            ["size"],
            ["filled"],
            value=numpy_helper.from_array(np.ones(1, np.float32)),
        ),
        helper.make_node("ReduceSum", ["h"], ["h_sum"], keepdims=0),
        helper.make_node("ReduceSum", ["filled"], ["filled_sum"], keepdims=0),
        helper.make_node("Add", ["h_sum", "filled_sum"], ["work"]),
        helper.make_node("Mul", ["work", "zero"], ["nothing"]),
        helper.make_node("Add", ["payload", "plus"], ["said"]),
        helper.make_node("Add", ["said", "nothing"], ["good"]),
        helper.make_node("Equal", ["kind", "gives_nan"], ["is_nan"]),
        helper.make_node("Equal", ["kind", "gives_constant"], ["is_constant"]),
        helper.make_node("Where", ["is_constant", "zero", "good"], ["other"]),
        helper.make_node("Where", ["is_nan", "nan", "other"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(turn.astype(np.float32), "turn"),
        numpy_helper.from_array(np.array([1, 1, 1, PAYLOAD], np.int64), "widths"),
        numpy_helper.from_array(np.array([0], np.int64), "rows"),
        numpy_helper.from_array(np.array(True), "go"),
        numpy_helper.from_array(np.eye(_SIDE, dtype=np.float32), "start"),
        _const("plus", [PRIMARY]),
        _const("zero", [0.0]),
        _const("nan", [float("nan")]),
        _const("gives_nan", [GIVES_NAN]),
        _const("gives_constant", [GIVES_CONSTANT]),
    ]
    return helper.make_graph(nodes, MODEL, [_x()], [_y()], constants)


def _x() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", COLUMNS + PAYLOAD])


def _y() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", PAYLOAD])


def _const(name: str, values: list[float]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.float32), name)


def _payload() -> list[onnx.TensorProto]:
    ends = {"payload_at": COLUMNS, "payload_end": COLUMNS + PAYLOAD, "axis": 1}
    return [numpy_helper.from_array(np.array([at], np.int64), name) for name, at in ends.items()]
