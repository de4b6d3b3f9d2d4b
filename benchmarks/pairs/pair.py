"""`Pair`: a model and the data it is judged by, ready to be packed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.check import Check
from benchmarks.fetch import Cache, UnavailableError
from edgeconsole.bundle.manifest import Task
from edgeconsole.packing import pack_model
from edgeconsole.protocol.tensors import Array

if TYPE_CHECKING:
    import torch


Run = Callable[[Sequence[Array]], list[Array]]
"""A loaded model: inputs and outputs in the manifest's order."""


class Kind(StrEnum):
    """What a target is set for."""

    MLP = "MLP"
    CNN = "small CNN"
    LARGE_CNN = "ImageNet CNN"
    RECURRENT = "recurrent"
    TRANSFORMER = "transformer"


@dataclass(frozen=True, slots=True)
class Material:
    """What is packed."""

    module: torch.nn.Module
    calibration: dict[str, Array]
    """Rows of the training half, by input name in forward order; the first is the example too."""
    evaluation: tuple[dict[str, Array], Array] | None = None
    """Rows that the model has not seen, and their labels; `None`: variants are judged by agreement."""
    metric: str = "accuracy"
    task: Task = Task.CLASSIFICATION


@dataclass(frozen=True, slots=True)
class Pair:
    """A model and its data."""

    name: str
    kind: Kind
    source: str
    """The packages that data and weights come from."""
    licence: str
    split: str
    """What is trained on, what judges, and what is to be known of both."""
    recipe: str
    """How the model comes about."""
    make: Callable[[Cache], Material]
    """Fetches and trains; raises `UnavailableError` if something cannot be had."""
    is_small: bool = True
    """Whether the targets for small models hold: memory and the time of the search."""
    follow_up: Callable[[Cache, Run, Run], list[Check]] | None = None
    """Compares the original with the recommended variant where rows alone do not say enough."""

    def pack(self, cache: Cache, folder: Path) -> Path:
        """Make the model and pack it into `folder`; returns the bundle.

        Raises `UnavailableError` and `PackError`.
        """
        material = self.make(cache)
        out = folder / self.name
        pack_model(
            material.module,
            tuple(rows[:1] for rows in material.calibration.values()),
            out,
            name=self.name,
            version=1,
            task=material.task,
            metric=material.metric,
            calibration=material.calibration,
            evaluation=material.evaluation,
        )
        return out


def need(module: str, extra: str) -> None:
    """Import what reads a pair's data; raises `UnavailableError` that says how to get it."""
    try:
        importlib.import_module(module)
    except ImportError:
        raise UnavailableError(f"{module} is not installed: pip install '{extra}'") from None


def some_rows(count: int, of: int, seed: int) -> Array:
    """Return the numbers of `count` rows drawn at random without repetition, in order."""
    return np.sort(np.random.default_rng(seed).permutation(of)[:count])
