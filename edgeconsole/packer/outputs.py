"""Outputs: from whatever a forward returns to named tensors in a fixed order (needs torch)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch

from edgeconsole.errors import PackError

Leaf = tuple[str, torch.Tensor]


class Flat(torch.nn.Module):
    """A module that takes its inputs positionally and returns a tuple of tensors.

    This is the contract of `model.pt2`: inputs and outputs in the order of the manifest.
    """

    def __init__(self, module: torch.nn.Module, keywords: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.keywords = keywords

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the module and flatten what it returns."""
        return tuple(tensor for _, tensor in self.named(*tensors))

    def named(self, *tensors: torch.Tensor) -> list[Leaf]:
        """Call the module and name what it returns; raises `PackError` for anything unfit."""
        split = len(tensors) - len(self.keywords)
        keyword = dict(zip(self.keywords, tensors[split:], strict=True))
        return name_outputs(self.module(*tensors[:split], **keyword))


def name_outputs(value: object) -> list[Leaf]:
    """Return a forward's tensors with their names, in order.

    Dict keys and fields of named tuples and dataclasses give names; the others are called
    `output`, or `output_0`, `output_1`, ... where there are several. `None` is left out. Raises
    `PackError` for what is not a tensor and for names that occur twice.
    """
    leaves = list(_walk(value, ()))
    if not leaves:
        raise PackError("the model returns no tensor", hint="return a tensor from forward")
    unnamed = sum(not path for path, _ in leaves)
    found: list[Leaf] = []
    for path, tensor in leaves:
        plain = "output" if unnamed == len(leaves) == 1 else f"output_{len(found)}"
        found.append(("_".join(path) or plain, tensor))
    names = [name for name, _ in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise PackError(f"two outputs are called {twice[0]!r}", hint="rename one in forward")
    return found


def _walk(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    """Yield tensors with the parts of their names; a number counts only below a name."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _walk(part, (*path, str(key)))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, part in zip(value._fields, value, strict=True):
            yield from _walk(part, (*path, str(name)))
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from _walk(part, (*path, str(index)) if path else path)
    elif value is not None:
        raise PackError(
            f"the model returns {type(value).__name__} among its outputs",
            hint="return tensors only, in a tuple, list, dict or named tuple",
        )
