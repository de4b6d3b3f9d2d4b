"""The two models that are served: built with torch from a fixed seed, packed with `pack_model`.

`python -m benchmarks.models FOLDER` packs them; the harness runs that in a process of its own, so
that it does not carry torch itself.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.bare import onnx_session, sample_input
from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MANIFEST_NAME, MODEL_ONNX
from edgeconsole.protocol.tensors import Array

if TYPE_CHECKING:
    import torch

MLP: Final = "mlp"
MOBILE: Final = "mobile"
NEXT_VERSION: Final = "2"
_SEED: Final = 7
_SHAPES: Final = {MLP: (1, 64), MOBILE: (1, 3, 96, 96)}
_WIDTH: Final = 40
"""Channels of the first layer; 40 makes the network some 4 ms long on one core of a server."""


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A packed model, and what is needed to ask it."""

    name: str
    bundle: Path
    input_name: str
    shape: tuple[int, ...]
    torch_name: str = ""
    """Its name in this module; empty if it was not made here."""

    @property
    def onnx(self) -> Path:
        """The model's ONNX file."""
        return self.bundle / MODEL_ONNX

    @property
    def input(self) -> Array:
        """The input that every system is asked with."""
        return sample_input(self.shape)

    def expected(self) -> Array:
        """Return the right answer to `input`."""
        session = onnx_session(self.onnx)
        return np.asarray(session.run(None, {self.input_name: self.input})[0])


def open_model(bundle: Path, torch_name: str = "") -> BenchModel:
    """Return a packed model; it must have one input with a free batch."""
    manifest = Bundle.open(bundle).manifest
    (spec,) = manifest.inputs
    shape = (1, *spec.shape[1:])
    return BenchModel(manifest.model, bundle, spec.name, shape, torch_name)


def packed_models(folder: Path) -> tuple[BenchModel, BenchModel]:
    """Return what `python -m benchmarks.models` wrote: the small model and the large one."""
    return open_model(folder / MLP, MLP), open_model(folder / MOBILE, MOBILE)


def next_version(model: BenchModel, folder: Path) -> Path:
    """Copy a bundle under another version, so that there is one to swap to."""
    shutil.copytree(model.bundle, folder)
    manifest = folder / MANIFEST_NAME
    content = json.loads(manifest.read_bytes())
    content["version"] = NEXT_VERSION
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(content))
    return folder


def build(name: str) -> torch.nn.Module:
    """Build a model by name; the same weights every time."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        return (_mlp() if name == MLP else _mobile()).eval()


def pack_all(folder: Path) -> None:
    """Pack both models below a folder."""
    import torch

    from edgeconsole.packing import pack_model

    for name, shape in _SHAPES.items():
        pack_model(
            build(name),
            (torch.from_numpy(sample_input(shape)),),
            folder / name,
            name=name,
            version="1",
            task="classification",
            include_pt2=False,
        )


def _mlp() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def _mobile() -> torch.nn.Module:
    """Build depthwise-separable blocks in the manner of MobileNet."""
    from torch import nn

    width = _WIDTH
    layers: list[nn.Module] = _normed(nn.Conv2d(3, width, 3, 2, 1, bias=False), width)
    for factor, stride in (
        (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1)
    ):  # fmt: skip
        wide = _WIDTH * factor
        depthwise = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
        layers += _normed(depthwise, width)
        layers += _normed(nn.Conv2d(width, wide, 1, bias=False), wide)
        width = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def _normed(layer: torch.nn.Module, channels: int) -> list[torch.nn.Module]:
    from torch import nn

    return [layer, nn.BatchNorm2d(channels), nn.ReLU6()]


if __name__ == "__main__":
    pack_all(Path(sys.argv[1]))
