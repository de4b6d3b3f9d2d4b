"""Small models of several families, trained on scikit-learn's handwritten digits and packed.

1,797 images of 8x8 pixels come with scikit-learn; a stratified random third (599) is held out and
judges variants, 300 rows of the rest calibrate. The random split puts the same writers on both
sides, so accuracies are those of known hands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

from edgeconsole.packing import pack_model

SEED: Final = 7
_HELD_OUT: Final = 599
_CALIBRATION: Final = 300
_BATCH: Final = 64
_SIDE: Final = 8


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


class Residual(nn.Module):
    """A convolution with a way around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the way makes of it."""
        return functional.relu(x + self.way(x))


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


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model, how long it is trained, and how much faster it is to get."""

    name: str
    make: Callable[[], nn.Module]
    epochs: int
    least_speedup: float
    """The target, against torch eager."""


FAMILIES: Final = (
    Family("mlp", Mlp, 40, 8.0),
    Family("cnn", Cnn, 25, 8.0),
    Family("resnet", ResNet, 25, 8.0),
    Family("gru", Gru, 60, 8.0),
    Family("transformer", Transformer, 60, 3.0),
)


def pack_family(family: Family, folder: Path) -> Path:
    """Train one model with a fixed seed and pack it; returns the bundle's folder."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=_HELD_OUT, random_state=SEED, stratify=labels
    )
    module = family.make()
    _train(module, torch.from_numpy(train_x), torch.from_numpy(train_y), family.epochs)
    out = folder / family.name
    pack_model(
        module,
        torch.from_numpy(train_x[:1]),
        out,
        name=family.name,
        version=1,
        task="classification",
        calibration={"x": train_x[:_CALIBRATION]},
        evaluation=({"x": test_x}, test_y),
    )
    return out


def _train(module: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3, weight_decay=1e-4)
    steps = epochs * -(-len(x) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    module.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x), _BATCH):
            rows = order[at : at + _BATCH]
            optimizer.zero_grad()
            functional.cross_entropy(module(x[rows]), y[rows], label_smoothing=0.05).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    module.eval()
