"""Taking channels out of a graph module: smaller weights, and constants that fit them; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.fx import GraphModule, Node

from edgeconsole.runtime.optimizer.channels import Axis
from edgeconsole.runtime.optimizer.trainable import (
    attribute,
    attribute_names,
    copy_module,
    operator_name,
)
from edgeconsole.runtime.optimizer.walk import Walk, arguments

_SHAPED: Final = ("view", "reshape", "_unsafe_view", "expand")


def remove_channels(walk: Walk, removed: frozenset[int]) -> GraphModule:
    """Return a copy of the walked module without these sets of channels."""
    return _Surgery(walk, removed).operate()


class _Surgery:
    def __init__(self, walk: Walk, removed: frozenset[int]) -> None:
        self._walk = walk
        self._gone = np.array(sorted(removed), np.int64)

    def operate(self) -> GraphModule:
        walk = self._walk
        tensors: dict[str, torch.Tensor] = {}
        for name in attribute_names(walk.module):
            value = attribute(walk.module, name)
            if isinstance(value, torch.Tensor):
                tensors[name] = self._cut(value)
        module = copy_module(walk.module, tensors)
        for old, new in zip(walk.module.graph.nodes, module.graph.nodes, strict=True):
            if old.op == "call_function":
                self._rewrite(old, new)
        module.graph.lint()
        module.recompile()
        return module

    def _cut(self, tensor: torch.Tensor) -> torch.Tensor:
        for dim, axis in enumerate(self._walk.weights[id(tensor)]):
            if axis is not None:
                kept = self._kept(axis)
                if not kept.all():
                    tensor = tensor.index_select(dim, torch.from_numpy(np.flatnonzero(kept)))
        return tensor

    def _kept(self, axis: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return ~np.isin(self._walk.channels.roots(axis), self._gone)

    def _size(self, axis: Axis) -> int | None:
        """Return the new size of a dimension; `None` if it does not change."""
        if axis is None:
            return None
        kept = self._kept(axis)
        return None if kept.all() else int(kept.sum())

    def _rewrite(self, old: Node, new: Node) -> None:
        name = operator_name(old)
        given = arguments(old)
        if name in _SHAPED:
            sizes = arguments(new)["size" if "size" in given else "shape"]
            self._set(new, 1, self._sizes(old, sizes, 0))
        elif name == "unflatten":
            first = given["dim"] % len(self._walk.shape(given["self"]))
            self._set(new, 2, self._sizes(old, arguments(new)["sizes"], first))
        elif name == "layer_norm":
            size = self._size(self._walk.of(old)[-1])
            self._set(new, 1, given["normalized_shape"] if size is None else [size])
        elif name.startswith("conv") and given.get("groups", 1) > 1:
            self._rewrite_groups(new, given)
        elif name == "slice":
            self._rewrite_slice(new, given)
        elif name in {"split", "split_with_sizes", "chunk"}:
            self._rewrite_split(old, new, given)

    def _sizes(self, old: Node, sizes: Any, first: int) -> list[Any]:
        axes = self._walk.of(old)[first:]
        found = []
        for size, axis in zip(sizes, axes, strict=False):
            now = self._size(axis)
            found.append(now if now is not None and isinstance(size, int) and size != -1 else size)
        return found

    def _rewrite_groups(self, new: Node, given: dict[str, Any]) -> None:
        weight = given["weight"]
        now = self._size(self._walk.of(given["input"])[1])
        if now is not None and self._walk.shape(weight)[1] == 1:  # depthwise
            names = [argument.name for argument in _schema(new)]
            self._set(new, names.index("groups"), now)

    def _rewrite_slice(self, new: Node, given: dict[str, Any]) -> None:
        axis = self._walk.of(given["self"])[given["dim"]]
        if self._size(axis) is None:
            return
        assert axis is not None
        before = np.concatenate([[0], np.cumsum(self._kept(axis))])
        bounds = slice(given["start"], given["end"]).indices(len(axis))
        self._set(new, 2, int(before[bounds[0]]))
        self._set(new, 3, int(before[max(bounds[0], bounds[1])]))

    def _rewrite_split(self, old: Node, new: Node, given: dict[str, Any]) -> None:
        dim = given["dim"]
        parts = self._walk.axes[old]
        assert isinstance(parts, list)
        axes = [part[dim] for part in parts]
        sizes = [self._size(axis) for axis in axes]
        if all(size is None for size in sizes):
            return
        shapes = self._walk.shapes(old)
        full = [
            shape[dim] if size is None else size for shape, size in zip(shapes, sizes, strict=True)
        ]
        new.target = torch.ops.aten.split_with_sizes.default
        new.args = (new.args[0], full, dim)
        new.kwargs = {}

    @staticmethod
    def _set(node: Node, position: int, value: Any) -> None:
        """Give an operator's argument by position, filling those before it."""
        given = arguments(node)
        names = [argument.name for argument in _schema(node)]
        args = list(node.args)
        while len(args) <= position:
            args.append(given[names[len(args)]])
        args[position] = value
        node.args = tuple(args)
        filled = set(names[: len(args)])
        node.kwargs = {name: kept for name, kept in node.kwargs.items() if name not in filled}


def _schema(node: Node) -> Any:
    target: Callable[..., Any] | str = node.target
    assert isinstance(target, torch._ops.OpOverload)  # noqa: SLF001 - has no public name
    return target._schema.arguments  # noqa: SLF001
