"""Packing with each metric: what labels are taken, and that data are refused before a device is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.metrics import METRICS, measure_metric
from edgeconsole.commands.pack import add_parser
from edgeconsole.errors import PackError
from edgeconsole.packer.check import OnnxModel
from edgeconsole.protocol.tensors import Array

Pack = Callable[..., Bundle]
ROWS = 80
VALUES = np.linspace(-1, 1, ROWS * 12, dtype="f4").reshape(ROWS, 12)
SORTED = np.arange(ROWS) // 40
"""Labels 0, then labels 1: the first rows are of one class."""


class Shaped(nn.Module):
    """Twelve numbers in another shape, times one that is learnt."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[rows, *shape]`, of as many of the numbers as fit."""
        count = int(np.prod(self.shape))
        return (x[:, :count] * self.scale).reshape(-1, *self.shape)


def evaluated(
    pack: Pack, metric: str, shape: tuple[int, ...], labels: Array, **options: object
) -> Bundle:
    """Pack a model with outputs `[rows, *shape]` and evaluation data."""
    given = {"metric": metric, "include_pt2": False, "evaluation": ({"x": VALUES}, labels)}
    rows = 1 if options.get("dynamic_batch", True) else 2
    return pack(Shaped(*shape), torch.from_numpy(VALUES[:rows]), **{**given, **options})


CASES = {
    "accuracy": ((3,), SORTED),
    "error_rate": ((3, 4), np.zeros((ROWS, 3), "u1")),
    "top5_accuracy": ((12,), SORTED),
    "f1": ((1,), SORTED),
    "iou": ((2, 3, 2), np.ones((ROWS, 3, 2), "i4")),
    "auc": ((1,), SORTED),
    "average_precision": ((1,), SORTED),
    "mae": ((1,), SORTED / 3),
    "rmse": ((4, 3), VALUES.reshape(ROWS, 4, 3)),
    "sequence_error_rate": ((4, 3), np.full((ROWS, 5), -1)),
    "phoneme_error_rate": ((4, 3), np.where(SORTED[:, None] * [1, 1, 0], 2, -1)),
}


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("name", METRICS)
def test_each_metric_can_be_packed(pack: Pack, name: str, *, dynamic: bool) -> None:
    """What was packed can be measured, with a free batch and a fixed one, with sorted labels."""
    shape, labels = CASES[name]
    bundle = evaluated(pack, name, shape, labels, dynamic_batch=dynamic)
    evaluation = bundle.evaluation()
    assert evaluation is not None
    inputs, stored = evaluation
    assert stored.tolist() == labels.tolist()
    assert bundle.manifest.metric == name
    model = OnnxModel(bundle.file_path("model.onnx"))
    step = ROWS if dynamic else 2
    runs = [model.run({"x": inputs["x"][at : at + step]}) for at in range(0, ROWS, step)]
    outputs = {"output": np.concatenate([run["output"] for run in runs])}
    assert measure_metric(name, outputs, stored) >= 0


@pytest.mark.parametrize(
    ("metric", "shape", "labels", "words"),
    [
        ("iou", (2, 3, 2), np.where(np.arange(ROWS) == 70, 2, 0), r"labels of shape \[80, 3, 2\]"),
        ("accuracy", (3,), np.where(np.arange(ROWS) == 70, 3, 1), "from 1 to 3, .* 0 to 2"),
        ("f1", (3,), np.where(np.arange(ROWS) == 70, -1, 1), "from -1 to 1, .* 0 to 2"),
        ("auc", (1,), SORTED * 0, "auc needs rows of class 1"),
        ("auc", (2,), SORTED, r"one score per row.*\[80, 2\]"),
        ("mae", (2,), SORTED / 3, r"labels of shape \[80, 2\].*not \[80\]"),
        ("mae", (1,), SORTED > 0, "numbers as labels, not bool"),
        ("rmse", (12,), VALUES.T, "the inputs have 80 rows"),
        ("top5_accuracy", (4,), SORTED, "is always 1.*scores 4 classes"),
        (
            "phoneme_error_rate",
            (4, 3),
            np.where(np.arange(ROWS)[:, None] == 70, [-1, 2], [1, 2]),
            "-1 stands before a label",
        ),
        ("sequence_error_rate", (4, 3), SORTED[:, None] + 2, "from 2 to 3, .* from 1 to 2"),
        ("sequence_error_rate", (3,), SORTED[:, None], "needs two or more scores per frame"),
    ],
)
def test_labels_are_checked_to_the_last_row(
    pack: Pack, metric: str, shape: tuple[int, ...], labels: Array, words: str
) -> None:
    """Labels that do not fit are refused as evaluation data, wherever they are."""
    with pytest.raises(PackError, match=f"evaluation.*{words}"):
        evaluated(pack, metric, shape, labels)


def test_names_of_classes(pack: Pack) -> None:
    """One score tells two classes apart for `auc` and `f1`; for `iou` axis 1 counts them."""
    for metric, shape, count in (("auc", (1,), 2), ("f1", (1,), 2), ("iou", (3, 2), 3)):
        named = {"task": "classification", "metric": metric, "include_pt2": False}
        names = [f"class {number}" for number in range(count)]
        example = torch.from_numpy(VALUES[:1])
        assert pack(Shaped(*shape), example, labels=names, **named).manifest.labels == tuple(names)
        with pytest.raises(PackError, match=f"there are {count + 1} labels.* {count} classes"):
            pack(Shaped(*shape), example, labels=[*names, "more"], **named)


@pytest.mark.parametrize("name", METRICS)
def test_it_is_documented(name: str) -> None:
    """The README names it, and `pack --help` says what labels it needs."""
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    add_parser(subparsers)
    assert f"`{name}`" in (Path(__file__).parents[2] / "README.md").read_text()
    assert name in subparsers.choices["pack"].format_help()
