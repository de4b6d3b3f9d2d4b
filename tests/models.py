"""Small ONNX models whose time and failures a test controls, as bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from faults.models import save_bundle


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
    return save_bundle(graph, golden, path, name, version)


def root_model(path: Path):
    """Write a model that gives NaN for rows with negative values: y = sqrt(x), x [-1, 4]."""
    graph = helper.make_graph(
        [helper.make_node("Sqrt", ["x"], ["y"])],
        "root",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return save_bundle(graph, {"x": np.ones((2, 4), np.float32)}, path, "root", "1")


def sure_model(path: Path, *, name: str = "sure"):
    """Write a model that never fails, with the inputs and outputs of `root_model`: y = abs(x)."""
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "sure",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    return save_bundle(graph, {"x": np.ones((2, 4), np.float32)}, path, name, "1")
