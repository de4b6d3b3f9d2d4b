"""A small ResNet on Fashion-MNIST: 70,000 grey pictures of clothes, 28 x 28, ten kinds.

Debian ships the data. Plain convolutions: depthwise ones train very slowly on a CPU.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache, Debian
from benchmarks.pairs.pair import Kind, Material, Pair
from benchmarks.pairs.residual import Residual
from benchmarks.training import Recipe, seed_everything, train
from edgeconsole.protocol.tensors import Array

_FOLDER: Final = Path("usr/share/datasets/fashion-mnist")
_DEBIAN: Final = Debian(
    "dataset-fashion-mnist",
    (f"{_FOLDER}/*.gz",),
    "b49331e4e67014f3cde398bb1692b738862e25ec00c95a4a2d589d25c27cd410",
)
_SIDE: Final = 28
_IMAGES_AT, _LABELS_AT = 16, 8
_CALIBRATION: Final = 2_000
_RECIPE: Final = Recipe(epochs=3, batch=128, peak_rate=6e-3, threads=2)


class ResNet(nn.Module):
    """Pictures `[N,1,28,28]` to scores of ten kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_halving(1, 32),
            Residual(32),
            *_halving(32, 64),
            Residual(64),
            Residual(64),
            Residual(64),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 10),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Score ten kinds."""
        scores: torch.Tensor = self.layers(image)
        return scores


def _halving(before: int, after: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
    return convolution, nn.BatchNorm2d(after), nn.ReLU()


def _material(cache: Cache) -> Material:
    folder = cache.files(_DEBIAN) / _FOLDER
    train_x, train_y = _read(folder, "train")
    test_x, test_y = _read(folder, "t10k")
    seed_everything(_RECIPE)
    module = ResNet()
    data = torch.from_numpy(train_x), torch.from_numpy(train_y)
    train(cache, "fashion", module, _RECIPE, data=data, loss=functional.cross_entropy)
    return Material(module, {"image": train_x[:_CALIBRATION]}, ({"image": test_x}, test_y))


def _read(folder: Path, part: str) -> tuple[Array, Array]:
    """Return pictures from 0 to 1, and their kinds; the files are LeCun's IDX."""
    pixels = np.frombuffer(_unzip(folder / f"{part}-images-idx3-ubyte.gz")[_IMAGES_AT:], np.uint8)
    kinds = np.frombuffer(_unzip(folder / f"{part}-labels-idx1-ubyte.gz")[_LABELS_AT:], np.uint8)
    images = pixels.reshape(-1, 1, _SIDE, _SIDE).astype(np.float32) / np.float32(255.0)
    return images, kinds.astype(np.int64)


def _unzip(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


PAIR: Final = Pair(
    name="fashion",
    kind=Kind.CNN,
    source="Debian's dataset-fashion-mnist",
    licence="MIT",
    split="official, 60,000 / 10,000",
    recipe=f"{_RECIPE.epochs} epochs",
    make=_material,
)
