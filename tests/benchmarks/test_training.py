"""Training that is done once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache
from benchmarks.training import Recipe, seed_everything, train

RECIPE = Recipe(epochs=2, batch=8, peak_rate=0.05)


def trained(cache: Cache, recipe: Recipe, x: torch.Tensor) -> nn.Linear:
    """Return a small module after training."""
    seed_everything(recipe)
    module = nn.Linear(3, 1)
    train(cache, "toy", module, recipe, data=(x, x.sum(1, keepdim=True)), loss=functional.mse_loss)
    return module


@pytest.fixture
def rows() -> torch.Tensor:
    """Return inputs to learn from."""
    return torch.randn(32, 3, generator=torch.Generator().manual_seed(1))


def test_the_same_training_is_loaded(
    tmp_path: Path, rows: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run gives the same weights without a step."""
    first = trained(Cache(tmp_path), RECIPE, rows)
    assert "epoch 2 of 2" in capsys.readouterr().err
    again = trained(Cache(tmp_path), RECIPE, rows)
    assert not capsys.readouterr().err
    assert torch.equal(first.weight, again.weight)
    assert not again.training


def test_another_recipe_or_other_data_are_trained_anew(
    tmp_path: Path, rows: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights are never taken for those of another training."""
    cache = Cache(tmp_path)
    for recipe, data in (
        (RECIPE, rows),
        (Recipe(epochs=1, batch=8, peak_rate=0.05), rows),
        (RECIPE, rows + 1),
    ):
        trained(cache, recipe, data)
        assert "epoch 1 of" in capsys.readouterr().err
    assert len(list((tmp_path / "trained").iterdir())) == 3


def test_a_damaged_file_is_trained_anew(
    tmp_path: Path, rows: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no weights costs time, not the run."""
    first = trained(Cache(tmp_path), RECIPE, rows)
    next((tmp_path / "trained").iterdir()).write_bytes(b"no weights")
    capsys.readouterr()
    again = trained(Cache(tmp_path), RECIPE, rows)
    assert "epoch 2 of 2" in capsys.readouterr().err
    assert torch.equal(first.weight, again.weight)
