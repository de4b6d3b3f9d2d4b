"""One thread for torch, one seed, and a shorthand for packing a model into a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeconsole.bundle import Bundle
from edgeconsole.packer.check import OnnxModel
from edgeconsole.packing import pack_model

Pack = Callable[..., Bundle]


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Return a function that packs a module and opens the bundle."""

    def packer(module: object, examples: object, **options: Any) -> Bundle:
        given = {"name": "toy", "version": 1, "task": "custom", **options}
        pack_model(module, examples, tmp_path / "toy", **given)  # type: ignore[arg-type]
        bundle = Bundle.open(tmp_path / "toy")
        bundle.verify()
        return bundle

    return packer


@pytest.fixture
def agrees() -> Callable[..., None]:
    """Return a check that a bundle gives the module's own values at another batch size."""

    def check(bundle: Bundle, module: torch.nn.Module, *inputs: torch.Tensor) -> None:
        names = [spec.name for spec in bundle.manifest.inputs]
        feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        got = OnnxModel(bundle.file_path("model.onnx")).run(feeds)
        module.eval()
        with torch.no_grad():
            leaves = torch.utils._pytree.tree_leaves(module(*inputs))
        expected = [leaf for leaf in leaves if leaf is not None]
        assert list(got) == [spec.name for spec in bundle.manifest.outputs]
        for value, array in zip(expected, got.values(), strict=True):
            np.testing.assert_allclose(array, value.numpy(), rtol=1e-4, atol=1e-5)

    return check
