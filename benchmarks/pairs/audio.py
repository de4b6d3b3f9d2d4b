"""A DS-CNN that tells six voices and music apart, by one second of sound.

Each voice is one recording chain: this is identification in a closed set, not of languages.
Architecture: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache
from benchmarks.pairs.pair import Kind, Material, Pair, some_rows
from benchmarks.pairs.sounds import CLASSES, RATE_HZ, read_sounds
from benchmarks.training import SEED, Recipe, seed_everything, train
from edgeconsole.protocol.tensors import Array

_WINDOW: Final = RATE_HZ
_STEP: Final = RATE_HZ // 2
_FFT, _HOP, _MELS = 256, 128, 40
_QUIET: Final = 0.01
"""Windows whose root mean square is below are pauses."""
_FLOOR: Final = 1e-6
_CALIBRATION: Final = 2_000
_RECIPE: Final = Recipe(epochs=3, batch=64, peak_rate=8e-3, threads=2)


class DsCnn(nn.Module):
    """Log-mel spectra `[N,1,40,61]` to scores of seven classes."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, (10, 4), stride=2, padding=(5, 2)),
            *(nn.BatchNorm2d(width), nn.ReLU()),
        ]
        for _ in range(4):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(CLASSES))]
        self.layers = nn.Sequential(*layers)

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Score seven classes."""
        scores: torch.Tensor = self.layers(spectrum)
        return scores


def log_mel(windows: Array) -> Array:
    """Return spectra `[rows, 1, mels, frames]` of windows `[rows, samples]`."""
    frames = sliding_window_view(windows, _FFT, axis=1)[:, ::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FFT), axis=2)) ** 2
    mels = np.log(power @ _mel_filters().T + _FLOOR)
    return np.ascontiguousarray(mels.transpose(0, 2, 1)[:, None], np.float32)


def _mel_filters() -> Array:
    """Return triangles `[mels, bins]` at equal steps of 2595 log10(1 + f / 700), HTK's mel."""
    most = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, most, _MELS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(_FFT, 1 / RATE_HZ)
    low, middle, high = (edges_hz[at : at + _MELS, None] for at in range(3))
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    filters: Array = np.clip(np.minimum(rising, falling), 0, None)
    return filters


def _material(cache: Cache) -> Material:
    rows: dict[bool, list[Array]] = {False: [], True: []}
    labels: dict[bool, list[int]] = {False: [], True: []}
    for sound in read_sounds(cache):
        windows = _windows(sound.samples)
        if len(windows):
            rows[sound.is_held].append(log_mel(windows))
            labels[sound.is_held] += [CLASSES.index(sound.label)] * len(windows)
    train_x, test_x = np.concatenate(rows[False]), np.concatenate(rows[True])
    train_y, test_y = (np.array(labels[held], np.int64) for held in (False, True))
    mean, spread = train_x.mean(), train_x.std()
    train_x, test_x = ((each - mean) / spread for each in (train_x, test_x))
    seed_everything(_RECIPE)
    module = DsCnn()
    data = torch.from_numpy(train_x), torch.from_numpy(train_y)
    train(cache, "audio", module, _RECIPE, data=data, loss=functional.cross_entropy)
    calibration = train_x[some_rows(_CALIBRATION, len(train_x), SEED)]
    return Material(module, {"spectrum": calibration}, ({"spectrum": test_x}, test_y))


def _windows(samples: Array) -> Array:
    """Return the windows `[rows, samples]` that are no pauses; what is too short has none."""
    if len(samples) < _WINDOW:
        return np.empty((0, _WINDOW), np.float32)
    windows = sliding_window_view(samples, _WINDOW)[::_STEP]
    loud = np.sqrt((windows**2).mean(axis=1)) > _QUIET
    return np.asarray(windows[loud])


PAIR: Final = Pair(
    name="audio",
    kind=Kind.CNN,
    source="Debian's asterisk-core-sounds-*, -prompt-it-menardi, -moh-opsound (GSM)",
    licence="CC-BY-SA-3.0, CC-BY-3.0",
    split="by prompt name, music by track; closed set: one voice a class, 5 tracks",
    recipe=f"{_RECIPE.epochs} epochs",
    make=_material,
)
