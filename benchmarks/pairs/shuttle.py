"""An auto-encoder that finds anomalies in sensors of the Space Shuttle.

River's wheel ships 49,097 rows of UCI's Statlog (Shuttle), nine whole numbers each; 7 % are of the
rare classes and count as anomalies. The model learns from the normal rows of one random half, and
its score is how badly it rebuilds a row. Variants are judged by average precision: the area under
the ROC curve does not fall when small nets are quantised or pruned.
"""

from __future__ import annotations

import gzip
from typing import Final

import numpy as np
import torch
from torch import nn

from benchmarks.fetch import Cache, Wheel
from benchmarks.pairs.pair import Kind, Material, Pair, some_rows
from benchmarks.training import SEED, Recipe, seed_everything, train
from edgeconsole.bundle.manifest import Task
from edgeconsole.protocol.tensors import Array

_SENSORS: Final = 9
_CALIBRATION: Final = 2_000
_JUDGED: Final = 10_000
"""Of the test half's rows: the optimiser judges no more."""
_RECIPE: Final = Recipe(epochs=25, batch=128, peak_rate=5e-3)
_WHEEL: Final = Wheel(
    "river",
    "0.26.1",
    ("river/datasets/shuttle.csv.gz",),
    "97e851ef12536e05b8a234dcfef3fbf97bb33091d31ff73a4936f07a26eddd62",
)


class AutoEncoder(nn.Module):
    """Nine sensors through four numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(_SENSORS, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU()),
            *(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.ReLU()),
            *(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, _SENSORS)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rebuild rows."""
        rebuilt: torch.Tensor = self.layers(x)
        return rebuilt


class Detector(nn.Module):
    """Raw sensors `[N,9]` to an anomaly score `[N,1]`.

    The score is the logarithm of one plus the squared error: it ranks rows as the error does, whose
    range of many powers of ten no eight bits hold.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, inner: AutoEncoder, mean: torch.Tensor, spread: torch.Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, sensors: torch.Tensor) -> torch.Tensor:
        """Score rows."""
        x = (sensors - self.mean) / self.spread
        return _score(self.inner(x), x)


def _score(rebuilt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.log1p((rebuilt - x).square().mean(1, keepdim=True))


def _loss(rebuilt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the mean score: normal rows have outliers too, which squares would let rule."""
    return _score(rebuilt, x).mean()


def _material(cache: Cache) -> Material:
    with gzip.open(cache.files(_WHEEL) / _WHEEL.wanted[0], "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    order = np.random.default_rng(SEED).permutation(len(table))
    train_half, test_half = np.split(table[order], [len(table) // 2])
    train_x, train_y = _split(train_half)
    test_x, test_y = _split(test_half)
    normal = torch.from_numpy(train_x[train_y == 0])
    mean, spread = normal.mean(0), normal.std(0)
    seed_everything(_RECIPE)
    inner = AutoEncoder()
    scaled = (normal - mean) / spread
    train(cache, "shuttle", inner, _RECIPE, data=(scaled, scaled), loss=_loss)
    judged = some_rows(_JUDGED, len(test_x), SEED)
    return Material(
        Detector(inner, mean, spread),
        {"sensors": train_x[:_CALIBRATION]},
        ({"sensors": test_x[judged]}, test_y[judged]),
        metric="average_precision",
        task=Task.CUSTOM,
    )


def _split(rows: Array) -> tuple[Array, Array]:
    """Return the sensors and whether the row is an anomaly."""
    return rows[:, :_SENSORS].astype(np.float32), rows[:, _SENSORS].astype(np.int64)


PAIR: Final = Pair(
    name="shuttle",
    kind=Kind.MLP,
    source="river 0.26.1 (Statlog Shuttle, UCI)",
    licence="BSD-3-Clause; data CC BY 4.0",
    split="random halves; trained on normal rows; judged on 10,000 rows of the other half",
    recipe=f"{_RECIPE.epochs} epochs",
    make=_material,
)
