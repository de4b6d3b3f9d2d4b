"""Small ONNX models whose time and failures a test controls, as bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeconsole.bundle.manifest import Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.protocol.tensors import Datatype, TensorSpec

OPSET = 20


def _save(
    graph: onnx.GraphProto, golden: dict[str, np.ndarray], path: Path, name: str, version: str
):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = [each.name for each in session.get_outputs()]
    results = dict(zip(outputs, session.run(outputs, golden), strict=True))

    def specs(arrays):
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


def slow_model(path: Path, *, layers: int = 40, version: str = "1", name: str = "slow"):
    """Write a model of `layers` 256x256 products a row: x [-1, 64, 256] to y; some ms a row."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((256, 256)) / 16).astype(np.float32)
    nodes, last = [], "x"
    for index in range(layers):
        out = "y" if index == layers - 1 else f"h{index}"
        nodes.append(helper.make_node("MatMul", [last, "w"], [out]))
        last = out
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64, 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64, 256])],
        [numpy_helper.from_array(weights, "w")],
    )
    golden = {"x": (rng.standard_normal((1, 64, 256)) / 16).astype(np.float32)}
    return _save(graph, golden, path, name, version)


def root_model(path: Path):
    """Write a model that gives NaN for rows with negative values: y = sqrt(x), x [-1, 4]."""
    graph = helper.make_graph(
        [helper.make_node("Sqrt", ["x"], ["y"])],
        "root",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return _save(graph, {"x": np.ones((2, 4), np.float32)}, path, "root", "1")


def sure_model(path: Path, *, name: str = "sure"):
    """Write a model that never fails, with the inputs and outputs of `root_model`: y = abs(x)."""
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "sure",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return _save(graph, {"x": np.ones((2, 4), np.float32)}, path, name, "1")
