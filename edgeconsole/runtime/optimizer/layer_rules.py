"""How layers with weights tie and carry channels; needs torch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from torch.fx import Node

from edgeconsole.runtime.optimizer.channels import Axes, Axis
from edgeconsole.runtime.optimizer.walk import NO_CHANNELS, PICKED, SPACE, Rule, Walk


def _conv(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    sizes = walk.shape(given["weight"])
    if len(axes) != len(weight):
        return None
    walk.channels.freeze_all((axes[0], *axes[2:], *weight[2:]), SPACE)
    groups: int = given["groups"]
    if groups == 1:
        walk.channels.tie([axes[1], weight[1]] if sizes[1] > 1 else [], NO_CHANNELS)
    elif not _tie_groups(walk, axes[1], weight, sizes, groups):
        return None
    _tie_bias(walk, given["bias"], weight[0])
    return (None, weight[0], *(None for _ in walk.shape(node)[2:]))


def _tie_groups(walk: Walk, axis: Axis, weight: Axes, sizes: tuple[int, ...], groups: int) -> bool:
    """Tie the channels of a grouped convolution.

    Depthwise, each input channel goes with those it makes. Otherwise every group loses the same
    positions, so that the groups stay equal.
    """
    outs = weight[0]
    if outs is None:
        return False
    if sizes[1] == 1:
        walk.channels.tie(
            [None if axis is None else np.repeat(axis, len(outs) // groups), outs], NO_CHANNELS
        )
        return True
    ins = weight[1]
    assert ins is not None
    walk.channels.tie([axis, np.tile(ins, groups)], NO_CHANNELS)
    first, *others = np.split(outs, groups)
    for other in others:
        walk.channels.tie([first, other], NO_CHANNELS)
    return True


def _conv_transpose(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    if len(axes) != len(weight) or given["groups"] != 1:
        return None
    walk.channels.freeze_all((axes[0], *axes[2:], *weight[2:]), SPACE)
    if walk.shape(given["weight"])[0] > 1:
        walk.channels.tie([axes[1], weight[0]], NO_CHANNELS)
    _tie_bias(walk, given["bias"], weight[1])
    return (None, weight[1], *(None for _ in walk.shape(node)[2:]))


def _tie_bias(walk: Walk, bias: Any, axis: Axis) -> None:
    if isinstance(bias, Node) and walk.shape(bias)[0] > 1:
        walk.channels.tie([walk.of(bias)[0], axis], NO_CHANNELS)


def _linear(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    if len(weight) != 2:
        return None
    if walk.shape(given["weight"])[1] > 1:
        walk.channels.tie([axes[-1], weight[1]], NO_CHANNELS)
    _tie_bias(walk, given["bias"], weight[0])
    return (*axes[:-1], weight[0])


def _matmul(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    one = given.get("self", given.get("mat1"))
    other = given.get("other", given.get("mat2"))
    left, right = walk.of(one), walk.of(other)
    if len(left) < 2 or len(right) < 2:
        return None
    if walk.shape(one)[-1] > 1:
        walk.channels.tie([left[-1], right[-2]], NO_CHANNELS)
    # Rows and columns are not shared: only the dimensions before them are.
    out = walk.shape(node)[:-2]
    shared = walk.broadcast([one, other], out, before=2)
    return (*shared, left[-2], right[-1])


def _addmm(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    product = _matmul(walk, node, {"mat1": given["mat1"], "mat2": given["mat2"]})
    if product is None:
        return None
    sizes = walk.shape(given["self"])
    for back in range(1, len(sizes) + 1):
        if sizes[-back] > 1:
            walk.channels.tie([walk.of(given["self"])[-back], product[-back]], NO_CHANNELS)
    return product


def _batch_norm(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["input"])
    if len(axes) < 2 or given.get("training"):
        return None
    sources = [given.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    weights = [source for source in sources if isinstance(source, Node)]
    if walk.shape(given["input"])[1] > 1:
        walk.channels.tie([axes[1], *(walk.of(weight)[0] for weight in weights)], NO_CHANNELS)
    _note_scale(walk, given.get("weight"))
    return axes


def _layer_norm(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["input"])
    weights = [given.get(name) for name in ("weight", "bias")]
    if len(given["normalized_shape"]) != 1 or walk.shape(given["input"])[-1] < 2:
        return None
    tied = [walk.of(weight)[0] for weight in weights if isinstance(weight, Node)]
    walk.channels.tie([axes[-1], *tied], NO_CHANNELS)
    _note_scale(walk, given.get("weight"))
    return axes


def _group_norm(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    """Every group loses the same positions, so that the groups stay equal."""
    axes, groups = walk.of(given["input"]), given["num_groups"]
    sizes = walk.shape(given["input"])
    if len(axes) < 2 or sizes[1] == groups:
        return None
    sources = [given.get(name) for name in ("weight", "bias")]
    tied = [walk.of(source)[0] for source in sources if isinstance(source, Node)]
    axis = walk.channels.tie([axes[1], *tied], NO_CHANNELS)
    if axis is not None:
        first, *others = np.split(axis, groups)
        for other in others:
            walk.channels.tie([first, other], NO_CHANNELS)
    _note_scale(walk, given.get("weight"))
    return axes


def _note_scale(walk: Walk, weight: Any) -> None:
    if isinstance(weight, Node):
        value = walk.weight(weight)
        if value is not None:
            walk.scales.add(id(value))


def _embedding(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    words, features = walk.of(given["weight"])
    walk.channels.freeze(words, PICKED)
    return (*walk.of(given["indices"]), features)


_BY_RULE: Final[tuple[tuple[Rule, str], ...]] = (
    (_conv, "conv1d conv2d conv3d"),
    (_conv_transpose, "conv_transpose1d conv_transpose2d conv_transpose3d"),
    (_linear, "linear"),
    (_matmul, "matmul mm bmm"),
    (_addmm, "addmm"),
    (_batch_norm, "batch_norm instance_norm"),
    (_layer_norm, "layer_norm"),
    (_group_norm, "group_norm"),
    (_embedding, "embedding"),
)
LAYER_RULES: Final[dict[str, Rule]] = {
    name: rule for rule, names in _BY_RULE for name in names.split()
}
