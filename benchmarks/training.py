"""Training the benchmarks' models: short, seeded, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.fetch import Cache

SEED: Final = 7
_LINES: Final = 5
"""About so many say how far a training is."""
Tensors = dict[str, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Recipe(msgspec.Struct, frozen=True):
    """How a model is trained: AdamW with one cycle of the learning rate (Smith, 2018)."""

    epochs: int
    batch: int
    peak_rate: float
    weight_decay: float = 1e-4
    seed: int = SEED
    threads: int = 1
    """More are faster; the weights are the same only for the same number."""


def seed_everything(recipe: Recipe) -> None:
    """Make what follows, also a module's first weights, the same on every run."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)


def train(
    cache: Cache,
    name: str,
    module: nn.Module,
    recipe: Recipe,
    *,
    data: tuple[torch.Tensor, torch.Tensor],
    loss: Loss,
) -> None:
    """Train a module on `(inputs, targets)`, or load what the same training gave before.

    The same: recipe, layers, data and torch. A change of `forward` alone is not seen; give the
    model another `name` then.
    """

    def trained() -> Tensors:
        _run(name, module, recipe, data, loss)
        return module.state_dict()

    module.load_state_dict(kept(cache, name, [recipe, repr(module)], data, trained))
    module.eval()


def kept(
    cache: Cache,
    name: str,
    told: Sequence[object],
    data: Sequence[torch.Tensor],
    make: Callable[[], Tensors],
) -> Tensors:
    """Return tensors that `make` made before of the same `told` and data, or makes now."""
    digest = hashlib.sha256(msgspec.json.encode([*told, str(torch.__version__)]))
    for tensor in data:
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    place = cache.root / "trained" / f"{name}-{digest.hexdigest()[:16]}.safetensors"
    try:
        return load_file(place)
    except (FileNotFoundError, SafetensorError):
        made = {key: value.contiguous() for key, value in make().items()}
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    save_file(made, partial)
    partial.rename(place)
    return made


def _run(
    name: str,
    module: nn.Module,
    recipe: Recipe,
    data: tuple[torch.Tensor, torch.Tensor],
    loss: Loss,
) -> None:
    inputs, targets = data
    optimizer = torch.optim.AdamW(
        module.parameters(), recipe.peak_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(inputs) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, total_steps=steps)
    every = max(1, recipe.epochs // _LINES)
    module.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(inputs))
        total = torch.zeros(())
        for at in range(0, len(inputs), recipe.batch):
            rows = order[at : at + recipe.batch]
            optimizer.zero_grad()
            step_loss = loss(module(inputs[rows]), targets[rows])
            step_loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += step_loss.detach() * len(rows)
        if (epoch + 1) % every and epoch + 1 < recipe.epochs:
            continue
        said = f"epoch {epoch + 1} of {recipe.epochs}, loss {float(total) / len(inputs):.4f}"
        print(f"{name}: {said}", file=sys.stderr, flush=True)
