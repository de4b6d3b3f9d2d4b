"""How operators that only move values carry channels; needs torch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from torch.fx import Node

from edgeconsole.runtime.optimizer.channels import Axes, Axis, reshape
from edgeconsole.runtime.optimizer.walk import NO_CHANNELS, PICKED, Rule, Walk


def _cat(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    sources = given["tensors"]
    shapes = [walk.shape(source) for source in sources]
    dim = given["dim"] % len(walk.shape(node))
    if len({len(shape) for shape in shapes}) > 1:
        return None
    found: list[Axis] = []
    for position, size in enumerate(walk.shape(node)):
        parts = [walk.of(source)[position] for source in sources]
        if position != dim:
            found.append(walk.channels.tie(parts, NO_CHANNELS) if size > 1 else None)
        elif all(part is None for part in parts):
            found.append(None)
        else:
            known = [
                _pinned(walk, shape[position]) if part is None else part
                for part, shape in zip(parts, shapes, strict=True)
            ]
            found.append(np.concatenate(known))
    return tuple(found)


def _pinned(walk: Walk, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return channels that must stay, for a part of a concatenation that has none."""
    axis = walk.channels.fresh(size + 1)  # one more: a dimension of one has none
    assert axis is not None
    walk.channels.freeze(axis, NO_CHANNELS)
    return axis[:size]


def _reshape(walk: Walk, node: Node, given: dict[str, Any]) -> Axes:
    source = given["self"]
    return reshape(walk.channels, walk.shape(source), walk.of(source), walk.shape(node))


def _permute(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = walk.of(given["self"])
    return tuple(axes[dim] for dim in given["dims"])


def _transpose(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = list(walk.of(given["self"]))
    one, other = given["dim0"], given["dim1"]
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def _turn(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    return tuple(reversed(walk.of(given["self"])))


def _expand(walk: Walk, node: Node, given: dict[str, Any]) -> Axes:
    axes, out = walk.of(given["self"]), walk.shape(node)
    return (*(None for _ in range(len(out) - len(axes))), *axes)


def _slice(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = list(walk.of(given["self"]))
    axis = axes[given["dim"]]
    bounds = (given["start"], given["end"], given["step"])
    if axis is None:
        return tuple(axes)
    if given["step"] != 1 or not all(_is_plain(bound) for bound in bounds):
        return None
    kept = axis[given["start"] : given["end"]]
    axes[given["dim"]] = kept if len(kept) > 1 else None
    if len(kept) < 2:
        walk.channels.freeze(axis, PICKED)
    return tuple(axes)


def _is_plain(bound: Any) -> bool:
    return bound is None or isinstance(bound, int)


def _select(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = list(walk.of(given["self"]))
    walk.channels.freeze(axes.pop(given["dim"]), PICKED)
    return tuple(axes)


def _split(walk: Walk, node: Node, given: dict[str, Any]) -> list[Axes] | None:
    axes, dim = walk.of(given["self"]), given["dim"]
    sizes = [shape[dim] for shape in walk.shapes(node)]
    axis = axes[dim]
    if axis is None:
        return [axes for _ in sizes]
    if min(sizes) < 2:
        return None
    parts = np.split(axis, np.cumsum(sizes)[:-1])
    place = dim % len(axes)
    return [(*axes[:place], part, *axes[place + 1 :]) for part in parts]


def _getitem(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    found = walk.axes.get(given["self"])
    return found[given["index"]] if isinstance(found, list) else None


def _pad(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = list(walk.of(given["self"]))
    pads = given["pad"]
    for back in range(1, len(pads) // 2 + 1):
        if pads[2 * back - 2] or pads[2 * back - 1]:
            walk.channels.freeze(axes[-back], PICKED)
            axes[-back] = None
    return tuple(axes)


def _size(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    walk.channels.freeze(walk.of(given["self"])[given["dim"]], "its number is used as a value")
    return ()


_BY_RULE: Final[tuple[tuple[Rule, str], ...]] = (
    (_cat, "cat concat"),
    (_reshape, "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"),
    (_permute, "permute"),
    (_transpose, "transpose swapaxes"),
    (_turn, "t numpy_T"),
    (_expand, "expand"),
    (_slice, "slice"),
    (_select, "select"),
    (_split, "split split_with_sizes chunk"),
    (_getitem, "getitem"),
    (_pad, "pad constant_pad_nd"),
    (_size, "sym_size"),
)
SHAPE_RULES: Final[dict[str, Rule]] = {
    name: rule for rule, names in _BY_RULE for name in names.split()
}
