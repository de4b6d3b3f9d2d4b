"""What holds for every metric: resampling, direction, refusals."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from edgeconsole.bundle.metrics import METRICS, check_metric, measure_metric
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

Make = Callable[[str, int], tuple[dict[str, Array], Array]]
every_metric = pytest.mark.parametrize("name", METRICS)


@every_metric
def test_a_resample_is_the_metric_of_its_rows(
    name: str, make: Make, rng: np.random.Generator
) -> None:
    """Rows drawn with repetitions give the value of outputs and labels made of those rows."""
    outputs, labels = make(name, 40)
    scored = METRICS[name].prepare(outputs, labels)
    assert len(scored) == 40
    assert scored.value() == scored.value(np.arange(40)) == measure_metric(name, outputs, labels)
    for drawn in (rng.integers(0, 40, 40), rng.integers(0, 40, 100), rng.permutation(40)):
        rows = np.concatenate([drawn, [0, 1]])  # both classes and a symbol are there
        expected = measure_metric(name, {"y": outputs["y"][rows]}, labels[rows])
        assert scored.value(rows) == pytest.approx(expected, rel=1e-9)


@every_metric
def test_a_row_that_is_not_there(name: str, make: Make) -> None:
    """A row beyond the last is an error, not a value."""
    scored = METRICS[name].prepare(*make(name, 10))
    with pytest.raises(IndexError):
        scored.value(np.array([0, 10]))


@every_metric
def test_nothing_drawn_is_no_number(name: str, make: Make) -> None:
    """Without rows there is no value, and no warning."""
    assert math.isnan(METRICS[name].prepare(*make(name, 10)).value(np.zeros(0, np.int64)))


@every_metric
def test_better_is_in_the_direction_said(name: str, make: Make) -> None:
    """The right answers score best: 1 or 0; others score worse, shares from 0 to 1."""
    metric = METRICS[name]
    outputs, labels = make(name, 60)
    value = metric.measure(outputs, labels)
    best = metric.measure({"y": right_answers(name, labels)}, labels)
    assert best == (1 if metric.higher_is_better else 0)
    assert best > value if metric.higher_is_better else best < value
    assert value > 0
    assert not metric.is_share or value <= 1


def right_answers(name: str, labels: Array) -> Array:
    """Return outputs that say what the labels say."""
    if name == "iou":
        return np.moveaxis(np.eye(9)[labels], -1, 1)
    if name in {"accuracy", "top5_accuracy", "error_rate"}:
        return np.eye(9)[labels]
    if name.startswith(("sequence", "phoneme")):
        frames = np.zeros((len(labels), 2 * labels.shape[1]), np.int64)
        frames[:, ::2] = np.maximum(labels, 0)
        return np.eye(9)[frames]
    return labels.astype("f4")


@every_metric
def test_data_that_no_metric_takes(name: str, make: Make) -> None:
    """No output, no rows, NaN, text and missing rows are refused by the metric's name."""
    outputs, labels = make(name, 10)
    values = outputs["y"].astype("f4")
    broken = values.copy()
    broken.flat[3] = np.nan
    for given, against, words in (
        ({}, labels, "needs an output"),
        ({"y": broken}, labels, "output 'y' holds NaN"),
        ({"y": values.astype("U")}, labels, "output 'y'.*datatype"),
        ({"y": values[:0]}, labels[:0], "at least one"),
        ({"y": values[:9]}, labels, f"not {list(labels.shape)}".replace("[", r"\[")),
        ({"y": values}, labels.astype("U"), "not <U"),
        ({"y": values}, labels.astype("?") if name in {"mae", "rmse"} else labels + 0.5, "labels"),
        ({"y": values}, np.array(1), "labels"),
        ({"y": np.array(1, "f4")}, labels, "shape"),
    ):
        with pytest.raises(BundleError, match=words) as caught:
            measure_metric(name, given, against)
        assert caught.value.message.startswith(name)
        assert caught.value.hint


@every_metric
@pytest.mark.parametrize("kind", ["i1", "u1", "u8", ">i4"])
def test_integer_labels_of_any_width(name: str, kind: str, make: Make) -> None:
    """The same labels in another integer type give the same value."""
    outputs, labels = make(name, 20)
    lowest = 1 if name.startswith(("sequence", "phoneme")) else 0  # -1 would have to be signed
    labels = np.maximum(labels.astype("i8"), lowest)
    expected = measure_metric(name, outputs, labels)
    assert measure_metric(name, outputs, labels.astype(kind)) == expected


@pytest.mark.parametrize("name", ["accuracy", "top5_accuracy", "error_rate", "f1", "iou", "auc"])
def test_boolean_labels(name: str, make: Make) -> None:
    """Booleans are the labels 0 and 1."""
    outputs, labels = make(name, 20)
    expected = measure_metric(name, outputs, np.minimum(labels, 1))
    assert measure_metric(name, outputs, labels > 0) == expected


@pytest.mark.parametrize("kind", ["i4", "u8", "?"])
def test_labels_of_any_width_for_class_scores(kind: str, rng: np.random.Generator) -> None:
    """F1 counts classes of labels in any integer type."""
    labels = rng.integers(0, 2, 30)
    outputs = {"y": rng.normal(size=(30, 3))}
    expected = measure_metric("f1", outputs, labels)
    assert measure_metric("f1", outputs, labels.astype(kind)) == expected


@every_metric
def test_the_first_output_decides(name: str, make: Make) -> None:
    """Other outputs are not looked at."""
    outputs, labels = make(name, 10)
    both = {**outputs, "other": np.array("x")}
    assert measure_metric(name, both, labels) == measure_metric(name, outputs, labels)


def test_unknown_metric() -> None:
    """An unknown name is refused and the known ones are listed."""
    assert check_metric("f1") == "f1"
    with pytest.raises(BundleError, match=r"'beauty' is not known.*accuracy"):
        measure_metric("beauty", {"y": np.eye(2)}, np.array([0, 1]))


def test_imports() -> None:
    """Measuring needs numpy and nothing heavier."""
    code = (
        "import sys, edgeconsole.bundle.metrics;"
        "print(sorted({'torch', 'onnxruntime', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
