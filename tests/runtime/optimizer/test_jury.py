"""How variants are judged where labels say something of one output only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeconsole.bundle.manifest import Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Datatype, TensorSpec
from edgeconsole.runtime.optimizer.jury import Jury

ROWS, CLASSES = 200, 3


def jury(folder: Path) -> tuple[Jury, dict[str, np.ndarray]]:
    """Return a jury for a model whose scores and state are its input, and the original's answers."""
    names = ("x", "scores", "state")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", CLASSES]) for n in names]
    nodes = [helper.make_node("Identity", ["x"], [name]) for name in names[1:]]
    graph = helper.make_graph(nodes, "stateful", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = np.random.default_rng(5).normal(size=(ROWS, CLASSES)).astype(np.float32)
    onnx.checker.check_model(model)
    bundle = write_bundle(
        folder,
        Contents(
            onnx=model.SerializeToString(),
            golden_inputs={"x": x[:2]},
            golden_outputs={"scores": x[:2], "state": x[:2]},
            evaluation=({"x": x}, x.argmax(axis=1)),
        ),
        model="stateful",
        version="1",
        variant="fp32",
        task=Task.CLASSIFICATION,
        metric="accuracy",
        inputs=(TensorSpec("x", Datatype.FP32, (-1, CLASSES)),),
        outputs=tuple(TensorSpec(n, Datatype.FP32, (-1, CLASSES)) for n in names[1:]),
    )
    made = Jury(bundle, seed=1)
    answers = {"scores": x, "state": x.copy()}
    made.take_original(answers)
    return made, answers


def test_a_state_that_is_far_off_fails_however_right_the_scores_are(tmp_path: Path) -> None:
    """What the next call gets back is wrong from then on: no accuracy of single calls shows it."""
    made, answers = jury(tmp_path / "stateful")
    off = {**answers, "state": answers["state"] * 0.6}
    with pytest.raises(BackendError, match=r"output 'state'.* is 40% off"):
        made.judge(off)


def test_a_state_that_is_a_little_off_passes(tmp_path: Path) -> None:
    """Rounding moves every output; the labels decide then."""
    made, answers = jury(tmp_path / "stateful")
    judged = made.judge({**answers, "state": answers["state"] * 0.95})
    assert (judged.metric_value, judged.drop) == (1.0, 0.0)


def embedder(folder: Path, task: Task, metric: str = "accuracy") -> tuple[Jury, np.ndarray]:
    """Return a jury for a model that gives its input back, declared as told, and what it answers."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "embedder", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = np.random.default_rng(6).normal(size=(ROWS, 8)).astype(np.float32)
    # One dimension is always the largest, as it is in many a real encoder.
    x[:, 3] += 9.0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    bundle = write_bundle(
        folder,
        Contents(model.SerializeToString(), {"x": x[:2]}, {"y": x[:2]}, calibration={"x": x}),
        model="embedder",
        version="1",
        variant="fp32",
        task=task,
        metric=metric,
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 8)),),
        outputs=(TensorSpec("y", Datatype.FP32, (-1, 8)),),
    )
    made = Jury(bundle, seed=1)
    assert made.take_original({"y": x}) is None
    return made, x


def test_embeddings_are_judged_by_their_values(tmp_path: Path) -> None:
    """The largest dimension is the same in all, so as scores of classes anything would pass."""
    made, x = embedder(tmp_path / "b", Task.CUSTOM)
    assert made.metric == "closeness"
    assert made.said == f"closeness to the original on calibration data, {ROWS} rows"
    noise = np.random.default_rng(7).normal(size=x.shape).astype(np.float32)
    off = x + 0.1 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    assert (off.argmax(axis=1) == x.argmax(axis=1)).all()
    found = made.judge({"y": off})
    assert found.drop == pytest.approx(10.0, abs=0.01)
    assert found.agreement == pytest.approx(0.9, abs=1e-4)
    assert made.judge({"y": x}).drop == 0.0


@pytest.mark.parametrize(
    ("task", "metric"),
    [(Task.CLASSIFICATION, "accuracy"), (Task.CUSTOM, "phoneme_error_rate"), (Task.CUSTOM, "f1")],
)
def test_what_is_declared_to_be_scores_is_judged_by_the_choice(
    tmp_path: Path, task: Task, metric: str
) -> None:
    """By the task, or by a metric that somebody chose."""
    made, x = embedder(tmp_path / "b", task, metric)
    assert made.metric == "agreement"
    assert made.judge({"y": 0.5 * x}).drop == 0.0
