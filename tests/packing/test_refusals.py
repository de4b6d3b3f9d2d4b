"""Models and arguments that cannot be packed are refused with what, where and what to do."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BundleError, PackError
from edgeconsole.packer.export import to_onnx
from edgeconsole.packer.quiet import quiet
from edgeconsole.packing import pack_model

Pack = Callable[..., Bundle]
X = torch.linspace(-1, 1, 8).reshape(2, 4)


class Do(nn.Module):
    """A module whose forward is a given function of one tensor."""

    def __init__(self, function: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> object:
        """Call the function."""
        return self.function(x)


def only_two(x: torch.Tensor) -> torch.Tensor:
    """Give the same values by two ways, so that the exporter has to fix the batch."""
    return x * 2 if x.shape[0] == 2 else x + x


def branch(x: torch.Tensor) -> torch.Tensor:
    """Branch on data, which no export can follow."""
    return x * 2 if float(x.abs().sum()) > -1 else x


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (only_two, "free batch dimension.*dynamic_batch=False"),
        (branch, "torch.export cannot export the model.*control flow"),
        (lambda x: x - x.mean(0, keepdim=True), "rows of a batch influence each other"),
        (lambda x: x.flatten(), r"\[12\] for 3 rows and \[4\] for 1.*batch first"),
        (lambda x: x @ x.T, r"\[3, 3\] for 3 rows"),
        (lambda x: x.T, "first dimension is not the batch"),
        (lambda x: torch.zeros(3), "first dimension is not the batch"),
        (lambda x: nn.functional.dropout(x + 1, 0.5, training=True), "other values when it runs"),
        (lambda x: x / 0 * 0, "'output' holds NaN or infinity on the example inputs"),
        (lambda x: x.bfloat16(), "torch.bfloat16, which answers cannot carry.*float"),
        (lambda x: x.to(torch.complex64), "complex64, which answers cannot carry"),
        (lambda x: {"y": "text"}, "returns str among its outputs"),
        (lambda x: None, "returns no tensor"),
        (lambda x: {"a": {"b": x}, "a_b": x}, "two outputs are called 'a_b'"),
        (lambda x: x @ torch.ones(3, 3), "fails on the example inputs: mat1 and mat2 shapes"),
        (lambda x: torch.linalg.eigvalsh(x[:, :, None] * x[:, None]), "ONNX.*_linalg_eigh"),
    ],
)
def test_unfit_models(
    pack: Pack, tmp_path: Path, function: Callable[[torch.Tensor], object], words: str
) -> None:
    """Each unfit model is refused for its own reason, in one line, and nothing is written."""
    with pytest.raises(PackError, match=words) as caught:
        pack(Do(function), X)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ((), "example_inputs is empty"),
        (None, "example_inputs is NoneType"),
        ("x", "example_inputs is str"),
        ((X, X), "do not fit forward.*too many positional"),
        ({"y": X}, "do not fit forward.*missing a required argument: 'x'"),
        (([1.0, 2.0],), "input 'x' is list, not a tensor.*wrap"),
        ((X * float("nan"),), "input 'x' holds NaN"),
        ((X.bfloat16(),), "input 'x' is torch.bfloat16"),
        ((X.to_sparse(),), "not a plain dense tensor"),
        ((torch.tensor(1.0),), "input 'x' has no dimension for the batch"),
        ((X[:0],), "no rows"),
    ],
)
def test_unfit_examples(pack: Pack, examples: object, words: str) -> None:
    """Each unfit example is refused before anything is exported, by the input's name."""
    with pytest.raises(PackError, match=words):
        pack(Do(lambda x: x), examples)


def test_inputs_with_different_batches(pack: Pack) -> None:
    """Inputs that do not share their first dimension are named with their sizes."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            return x * weights

    with pytest.raises(PackError, match=r"\{'x': 2, 'weights': 1\}.*dynamic_batch=False"):
        pack(Two(), (X, X[:1]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "My Model"}, "model name 'My Model'"),
        ({"name": 3}, "name must be text"),
        ({"version": "1/2"}, "version '1/2'"),
        ({"version": True}, "version must be text"),
        ({"variant": "FP 32"}, "'FP 32'"),
        ({"task": "guess"}, "task 'guess' is not known.*classification"),
        ({"metric": "beauty"}, "metric 'beauty' is not known.*accuracy"),
        ({"labels": "cat"}, "labels is one text"),
        ({"labels": []}, "labels must be a list"),
        ({"labels": ["a", ""]}, "labels must be a list"),
        ({"labels": ["a", "a"]}, "label 'a' is listed twice"),
        ({"labels": ["a", "b"], "task": "classification"}, "2 labels.*scores 4 classes"),
    ],
)
def test_unfit_options(pack: Pack, options: dict[str, Any], words: str) -> None:
    """Each bad name, version, task, metric or list of labels is refused by its value."""
    with pytest.raises(PackError, match=words):
        pack(nn.Linear(4, 4), X, **options)


@pytest.mark.parametrize("module", [None, lambda x: x, nn.Linear])
def test_not_a_module(pack: Pack, module: object) -> None:
    """A function, a class and nothing at all are refused by their type."""
    with pytest.raises(PackError, match="cannot pack"):
        pack(module, X)


def test_module_that_cannot_be_copied(pack: Pack) -> None:
    """A module with an open handle is refused with the reason."""
    net = Do(lambda x: x)
    with Path(os.devnull).open() as handle:
        net.handle = handle  # type: ignore[assignment]
        with pytest.raises(PackError, match="cannot be copied: cannot pickle"):
            pack(net, X)


def test_target_is_checked_first(tmp_path: Path) -> None:
    """A folder that is no bundle is refused before the slow part, and stays."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PackError, match="is not replaced"):
        pack_model(None, X, tmp_path, name="toy", version=1, task="custom")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.txt"]


def test_mistranslation_is_found(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the ONNX file gives other values than the module, packing fails with the worst error."""
    convert = to_onnx

    def wrong(program: Any, inputs: Any, outputs: Any) -> bytes:
        with quiet():
            program = copy.deepcopy(program)
        for parameter in program.state_dict.values():
            parameter.detach().add_(0.5)
        return convert(program, inputs, outputs)

    monkeypatch.setattr("edgeconsole.packer.build.to_onnx", wrong)
    with pytest.raises(PackError, match=r"ONNX model is not the module: with 1 rows.*off by"):
        pack(nn.Linear(4, 2), X, include_pt2=False)


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the error says how to install it."""

    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(PackError, match="No module named 'torch'") as caught:
        pack_model(None, X, tmp_path / "b", name="toy", version=1, task="custom")  # type: ignore[arg-type]
    assert caught.value.hint == "pip install 'edgeconsole[torch]' -c constraints.txt"


def test_disk_errors_are_pack_errors(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bundle writer refuses reaches the caller as `PackError`, with its hint."""

    def full(*args: object, **kwargs: object) -> Bundle:
        raise BundleError("disk full", hint="make room")

    monkeypatch.setattr("edgeconsole.packing.write_bundle", full)
    with pytest.raises(PackError, match="disk full") as caught:
        pack(nn.Linear(4, 2), X, include_pt2=False)
    assert caught.value.hint == "make room"
