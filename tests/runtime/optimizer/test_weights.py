"""Weights stored in bytes: a smaller file, the same graph once it is loaded, nearly the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeconsole import demo
from edgeconsole.packer.check import OnnxModel
from edgeconsole.runtime.optimizer.weights import rounded, store_in_bytes

DIGITS = Path(demo.__file__).parent / "bundles" / "digits"
ROWS, WIDTH, UNITS = 8, 12, 32


def gru(path: Path, *, also_input: bool = False) -> Path:
    """Write a GRU, which no engine here runs in integers; `also_input` makes its weights a default."""
    rng = np.random.default_rng(7)
    weights = rng.normal(0, 0.2, (1, 3 * UNITS, WIDTH)).astype(np.float32)
    recurrent = rng.normal(0, 0.2, (1, 3 * UNITS, UNITS)).astype(np.float32)
    node = helper.make_node("GRU", ["x", "w", "r"], ["", "y"], hidden_size=UNITS)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, ROWS, WIDTH])]
    if also_input:
        inputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(each.shape))
            for name, each in (("w", weights), ("r", recurrent))
        ]
    graph = helper.make_graph(
        [node],
        "gru",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, ROWS, UNITS])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(recurrent, "r")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def test_a_recurrent_model_shrinks_and_answers_nearly_the_same(tmp_path: Path) -> None:
    """Every large weight is stored in a byte; the outputs move by no more than rounding does."""
    source, out = gru(tmp_path / "gru.onnx"), tmp_path / "out.onnx"
    assert store_in_bytes(source, out) == 2
    assert out.stat().st_size < 0.35 * source.stat().st_size
    x = {"x": np.random.default_rng(1).normal(size=(5, ROWS, WIDTH)).astype(np.float32)}
    (before,) = OnnxModel(source).run(x).values()
    (after,) = OnnxModel(out).run(x).values()
    assert 0 < np.abs(after - before).max() < 0.02


def test_the_engine_unfolds_the_weights_while_it_loads(tmp_path: Path) -> None:
    """What runs for a request is the float graph: no node more than before."""
    source, out = DIGITS / "model.onnx", tmp_path / "out.onnx"
    assert store_in_bytes(source, out) > 0
    kinds = []
    for model in (source, out):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(tmp_path / "loaded.onnx").graph
        kinds.append(sorted(node.op_type for node in graph.node))
    assert kinds[0] == kinds[1]


def test_weights_that_a_caller_may_override_stay(tmp_path: Path) -> None:
    """An initializer that is an input as well is only a default."""
    source = gru(tmp_path / "gru.onnx", also_input=True)
    assert store_in_bytes(source, tmp_path / "out.onnx") == 0


@pytest.mark.parametrize("shape", [(64, 32), (1, 96, 32), (16, 8, 3, 3), (512, 2)])
def test_scales_are_few_and_rounding_is_fine(shape: tuple[int, ...]) -> None:
    """Each element is off by at most half a step of its scale, whatever axes share one; zeros stay zero."""
    weights = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    weights[0] = 0.0
    whole, scales = rounded(weights)
    assert whole.dtype == np.int8
    assert scales.size <= weights.size / 16
    assert np.all(np.abs(weights - whole * scales) <= 0.5001 * scales)
    assert not whole[0].any()
