"""Small models of several families on scikit-learn's handwritten digits.

1,797 images of 8x8 pixels come with scikit-learn; a stratified random third (599) is held out and
judges variants, 300 rows of the rest calibrate. The random split puts the same writers on both
sides, so accuracies are those of known hands.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache
from benchmarks.pairs.pair import Kind, Material, Pair, need
from benchmarks.pairs.residual import Residual
from benchmarks.training import SEED, Recipe, seed_everything, train

_HELD_OUT: Final = 599
_CALIBRATION: Final = 300
_SIDE: Final = 8
_LOSS: Final = partial(functional.cross_entropy, label_smoothing=0.05)


class Mlp(nn.Module):
    """Two hidden layers, `[N,64]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score ten classes."""
        scores: torch.Tensor = self.layers(x)
        return scores


class Cnn(nn.Module):
    """Three convolutions with normalisation, `[N,64]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 32), (32, 48), (48, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score ten classes."""
        scores: torch.Tensor = self.layers(x.reshape(-1, 1, _SIDE, _SIDE))
        return scores


class ResNet(nn.Module):
    """Three residual blocks, `[N,64]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 48, 3, padding=1),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            Residual(48),
            nn.MaxPool2d(2),
            Residual(48),
            Residual(48),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(48, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score ten classes."""
        scores: torch.Tensor = self.layers(x.reshape(-1, 1, _SIDE, _SIDE))
        return scores


class Gru(nn.Module):
    """The image's rows as a sequence, `[N,64]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(_SIDE, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score ten classes."""
        states, _ = self.rows(x.reshape(-1, _SIDE, _SIDE))
        scores: torch.Tensor = self.head(states[:, -1])
        return scores


class Transformer(nn.Module):
    """Two encoder layers over the image's rows, `[N,64]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(_SIDE, 64)
        self.places = nn.Parameter(torch.randn(1, _SIDE, 64) * 0.02)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score ten classes."""
        rows = self.rows(x.reshape(-1, _SIDE, _SIDE)) + self.places
        scores: torch.Tensor = self.head(self.layers(rows).mean(1))
        return scores


def _material(make: Callable[[], nn.Module], name: str, epochs: int, cache: Cache) -> Material:
    need("sklearn", "edgeconsole[train]")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        (digits.data / 16.0).astype(np.float32),
        digits.target.astype(np.int64),
        test_size=_HELD_OUT,
        random_state=SEED,
        stratify=digits.target,
    )
    recipe = Recipe(epochs, batch=64, peak_rate=6e-3)
    seed_everything(recipe)
    module = make()
    data = torch.from_numpy(train_x), torch.from_numpy(train_y)
    train(cache, name, module, recipe, data=data, loss=_LOSS)
    return Material(module, {"x": train_x[:_CALIBRATION]}, ({"x": test_x}, test_y))


def _pair(name: str, kind: Kind, make: Callable[[], nn.Module], epochs: int) -> Pair:
    return Pair(
        name=name,
        kind=kind,
        source="scikit-learn (handwritten digits, 8 x 8)",
        licence="CC BY 4.0",
        split="1,198 / 599, random: known writers",
        recipe=f"{epochs} epochs",
        make=partial(_material, make, name, epochs),
    )


DIGITS: Final = (
    _pair("mlp", Kind.MLP, Mlp, 40),
    _pair("cnn", Kind.CNN, Cnn, 25),
    _pair("resnet", Kind.CNN, ResNet, 25),
    _pair("gru", Kind.RECURRENT, Gru, 60),
    _pair("transformer", Kind.TRANSFORMER, Transformer, 60),
)
