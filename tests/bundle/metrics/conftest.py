"""Random data of every metric's kind."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from edgeconsole.protocol.tensors import Array

Case = tuple[dict[str, Array], Array]


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator whose seed is printed."""
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def make(rng: np.random.Generator) -> Callable[[str, int], Case]:
    """Return a function that makes outputs and labels for a metric, half of them right."""

    def classes(rows: int) -> Case:
        labels = rng.integers(0, 7, (rows, 3))
        return {"y": _scores(rng, labels, 7)}, labels

    def column(rows: int) -> Case:
        labels = rng.integers(0, 2, rows)
        labels[:2] = 0, 1
        # Few distinct scores, so that many are equal.
        return {"y": (rng.integers(0, 8, rows) / 8 + labels / 4 - 0.6)[:, None]}, labels

    def pixels(rows: int) -> Case:
        labels = rng.integers(0, 4, (rows, 3, 2))
        return {"y": np.moveaxis(_scores(rng, labels, 4), -1, 1)}, labels

    def numbers(rows: int) -> Case:
        labels = rng.normal(size=(rows, 2)).astype("f4")
        return {"y": labels + rng.normal(size=labels.shape).astype("f4")}, labels

    def sequences(rows: int) -> Case:
        frames = rng.integers(0, 4, (rows, 6))
        labels = np.sort(rng.integers(-1, 4, (rows, 4)))[:, ::-1]
        labels[0, 0] = 2
        return {"y": _scores(rng, frames, 4)}, np.where(labels > 0, labels, -1)

    kinds = {
        "f1": column,
        "iou": pixels,
        "auc": column,
        "average_precision": column,
        "mae": numbers,
        "rmse": numbers,
        "sequence_error_rate": sequences,
        "phoneme_error_rate": sequences,
    }
    return lambda name, rows: kinds.get(name, classes)(rows)


def _scores(rng: np.random.Generator, labels: Array, classes: int) -> Array:
    right = np.eye(classes)[labels] * rng.integers(0, 2, labels.shape)[..., None]
    return (rng.normal(size=(*labels.shape, classes)) + 5 * right).astype("f4")
