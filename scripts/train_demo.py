"""Train the two demo models on scikit-learn's handwritten digits and write their bundles.

    python scripts/train_demo.py        # needs: pip install -e '.[torch,train]' -c constraints.txt

1,797 images of 8x8 pixels; a stratified random third (599) is held out and never trained on. The
random split puts the same writers on both sides, so the accuracy is one of known hands.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_ONNX
from edgeconsole.bundle.metrics import measure_metric
from edgeconsole.packer.check import OnnxModel
from edgeconsole.packing import pack_model

Array = npt.NDArray[Any]

SEED: Final = 7
HELD_OUT: Final = 599
CALIBRATION_ROWS: Final = 128
BATCH: Final = 64
BUNDLES: Final = Path(__file__).resolve().parents[1] / "edgeconsole" / "demo" / "bundles"


class Digits(nn.Module):
    """The primary model: three convolutions and two linear layers, `[N,1,8,8]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 40, 3, padding=1),
            nn.BatchNorm2d(40),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(40, 56, 3, padding=1),
            nn.BatchNorm2d(56),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(224, 72), nn.ReLU(), nn.Dropout(0.3), nn.Linear(72, 10)
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Score ten classes."""
        return {"logits": self.head(self.features(image))}


class DigitsTiny(nn.Module):
    """The fallback: two narrow strided convolutions, `[N,1,8,8]` to `[N,10]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 10),
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Score ten classes."""
        return {"logits": self.layers(image)}


def load_split() -> tuple[Array, Array, Array, Array]:
    """Return training images, held-out images (float32 `[rows,1,8,8]`, 0..1) and their labels."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    train, held, train_labels, held_labels = train_test_split(
        images, labels, test_size=HELD_OUT, random_state=SEED, stratify=labels
    )
    return train, held, train_labels, held_labels


def shift(images: torch.Tensor) -> torch.Tensor:
    """Move each image by up to one pixel, filling with background."""
    rows = len(images)
    padded = functional.pad(images, (1, 1, 1, 1))
    # Half stay in place: an 8x8 digit that loses an edge may lose a stroke.
    moves = torch.randint(0, 3, (rows, 2)).where(torch.rand(rows, 1) < 0.5, torch.tensor(1))
    span = torch.arange(8)
    down = (moves[:, 0, None] + span)[:, :, None]
    right = (moves[:, 1, None] + span)[:, None, :]
    return padded[torch.arange(rows)[:, None, None], 0, down, right][:, None]


def train(model: nn.Module, images: Array, labels: Array, *, epochs: int, rate: float) -> None:
    """Train in place with AdamW and one cycle of the learning rate."""
    data, targets = torch.from_numpy(images), torch.from_numpy(labels)
    steps = epochs * -(-len(data) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(data)).split(BATCH):  # type: ignore[no-untyped-call]
            logits = model(shift(data[rows]))["logits"]
            loss = functional.cross_entropy(logits, targets[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def measure(folder: Path) -> float:
    """Return the accuracy of a written bundle on its own evaluation data."""
    bundle = Bundle.open(folder)
    bundle.verify()
    evaluation = bundle.evaluation()
    assert evaluation is not None
    inputs, labels = evaluation
    outputs = OnnxModel(bundle.file_path(MODEL_ONNX)).run(inputs)
    return measure_metric(bundle.manifest.metric, outputs, labels)


def main() -> None:
    """Train, pack, measure what was packed, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=BUNDLES, help="folder for the two bundles")
    out = parser.parse_args().out
    torch.set_num_threads(2)
    images, held, labels, held_labels = load_split()
    recipes = (("digits", Digits, 60, 4e-3), ("digits-tiny", DigitsTiny, 60, 1e-2))
    print(f"{'model':12} {'parameters':>10} {'accuracy':>9} {'kB':>6} {'seconds':>8}")
    for name, kind, epochs, rate in recipes:
        start = time.perf_counter()
        torch.manual_seed(SEED)
        model = kind()
        train(model, images, labels, epochs=epochs, rate=rate)
        pack_model(
            model,
            torch.from_numpy(images[:2]),
            out / name,
            name=name,
            version=1,
            task="classification",
            calibration={"image": images[:CALIBRATION_ROWS]},
            evaluation=({"image": held}, held_labels),
            labels=[str(digit) for digit in range(10)],
        )
        parameters = sum(parameter.numel() for parameter in model.parameters())
        size = sum(file.stat().st_size for file in (out / name).iterdir()) / 1000
        seconds = time.perf_counter() - start
        accuracy = measure(out / name)
        print(f"{name:12} {parameters:>10,} {accuracy:>9.4f} {size:>6.0f} {seconds:>8.1f}")


if __name__ == "__main__":
    main()
