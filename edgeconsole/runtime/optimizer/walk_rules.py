"""How each operator carries, ties or pins the channels of its tensors; needs torch.

An operator that is not here makes the channels that reach it stay. Each rule returns the axes of
the result, or `None` for a use of the operator that it does not know.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from torch.fx import Node

from edgeconsole.runtime.optimizer.channels import Axes, Axis, reshape
from edgeconsole.runtime.optimizer.trainable import operator_name
from edgeconsole.runtime.optimizer.walk import Rule, Walk

_INPUT: Final = "it is tied to values that are no channels"
_SPACE: Final = "a position in space or time is no channel"
_REDUCED: Final = "an operator takes all channels together"
_PICKED: Final = "an operator picks channels by number"

_ONE_TO_ONE: Final = (
    "relu relu6 leaky_relu elu celu selu gelu silu mish hardtanh hardswish hardsigmoid softplus "
    "softsign logsigmoid log_sigmoid sigmoid tanh sin cos exp expm1 log log1p sqrt rsqrt square "
    "abs neg sign reciprocal floor ceil round erf clamp clamp_min clamp_max clip threshold "
    "hardshrink softshrink tanhshrink dropout feature_dropout alpha_dropout clone detach alias "
    "contiguous to _to_copy logical_not bitwise_not isnan nan_to_num lift_fresh_copy "
    "add sub rsub mul div true_divide pow maximum minimum where lerp atan2 eq ne lt le gt ge "
    "logical_and logical_or masked_fill addcmul addcdiv"
)
_POOLS: Final = (
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d "
    "adaptive_max_pool3d max_pool2d_with_indices upsample_nearest1d upsample_nearest2d "
    "upsample_bilinear2d upsample_linear1d upsample_bicubic2d"
)


def _one_to_one(walk: Walk, node: Node, given: dict[str, Any]) -> Axes:
    """Values meet their counterparts, with broadcasting."""
    return _broadcast(walk, [value for value in given.values() if walk.of(value)], walk.shape(node))


def _broadcast(walk: Walk, sources: list[Any], out: tuple[int, ...]) -> Axes:
    found: list[Axis] = []
    for back in range(len(out), 0, -1):
        parts = [
            walk.of(source)[-back]
            for source in sources
            if len(walk.shape(source)) >= back and walk.shape(source)[-back] == out[-back] > 1
        ]
        found.append(walk.channels.tie(parts, _INPUT))
    return tuple(found)


def _prelu(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["self"])
    if walk.shape(given["weight"]) != (1,):
        if len(axes) < 2:
            return None
        walk.channels.tie([axes[1], walk.of(given["weight"])[0]], _INPUT)
    return axes


def _conv(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    sizes = walk.shape(given["weight"])
    if len(axes) != len(weight):
        return None
    walk.channels.freeze_all((axes[0], *axes[2:], *weight[2:]), _SPACE)
    groups: int = given["groups"]
    if groups == 1:
        walk.channels.tie([axes[1], weight[1]] if sizes[1] > 1 else [], _INPUT)
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
            [None if axis is None else np.repeat(axis, len(outs) // groups), outs], _INPUT
        )
        return True
    ins = weight[1]
    assert ins is not None
    walk.channels.tie([axis, np.tile(ins, groups)], _INPUT)
    first, *others = np.split(outs, groups)
    for other in others:
        walk.channels.tie([first, other], _INPUT)
    return True


def _conv_transpose(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    if len(axes) != len(weight) or given["groups"] != 1:
        return None
    walk.channels.freeze_all((axes[0], *axes[2:], *weight[2:]), _SPACE)
    if walk.shape(given["weight"])[0] > 1:
        walk.channels.tie([axes[1], weight[0]], _INPUT)
    _tie_bias(walk, given["bias"], weight[1])
    return (None, weight[1], *(None for _ in walk.shape(node)[2:]))


def _tie_bias(walk: Walk, bias: Any, axis: Axis) -> None:
    if isinstance(bias, Node) and walk.shape(bias)[0] > 1:
        walk.channels.tie([walk.of(bias)[0], axis], _INPUT)


def _linear(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes, weight = walk.of(given["input"]), walk.of(given["weight"])
    if len(weight) != 2:
        return None
    if walk.shape(given["weight"])[1] > 1:
        walk.channels.tie([axes[-1], weight[1]], _INPUT)
    _tie_bias(walk, given["bias"], weight[0])
    return (*axes[:-1], weight[0])


def _matmul(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    one = given.get("self", given.get("mat1"))
    other = given.get("other", given.get("mat2"))
    left, right = walk.of(one), walk.of(other)
    if len(left) < 2 or len(right) < 2:
        return None
    if walk.shape(one)[-1] > 1:
        walk.channels.tie([left[-1], right[-2]], _INPUT)
    out = walk.shape(node)
    rows: list[Axis] = []
    for back in range(len(out), 2, -1):
        parts = [
            walk.of(source)[-back]
            for source in (one, other)
            if len(walk.shape(source)) >= back and walk.shape(source)[-back] > 1
        ]
        rows.append(walk.channels.tie(parts, _INPUT))
    return (*rows, left[-2], right[-1])


def _addmm(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    product = _matmul(walk, node, {"mat1": given["mat1"], "mat2": given["mat2"]})
    if product is None:
        return None
    for back, axis in enumerate(reversed(product), start=1):
        sizes = walk.shape(given["self"])
        if len(sizes) >= back and sizes[-back] > 1:
            walk.channels.tie([walk.of(given["self"])[-back], axis], _INPUT)
    return product


def _batch_norm(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["input"])
    if len(axes) < 2 or given.get("training"):
        return None
    sources = [given.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    weights = [source for source in sources if isinstance(source, Node)]
    if walk.shape(given["input"])[1] > 1:
        walk.channels.tie([axes[1], *(walk.of(weight)[0] for weight in weights)], _INPUT)
    _note_scale(walk, given.get("weight"))
    return axes


def _layer_norm(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["input"])
    weights = [given.get(name) for name in ("weight", "bias")]
    if len(given["normalized_shape"]) != 1 or walk.shape(given["input"])[-1] < 2:
        return None
    tied = [walk.of(weight)[0] for weight in weights if isinstance(weight, Node)]
    walk.channels.tie([axes[-1], *tied], _INPUT)
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
    axis = walk.channels.tie([axes[1], *tied], _INPUT)
    if axis is not None:
        first, *others = np.split(axis, groups)
        for other in others:
            walk.channels.tie([first, other], _INPUT)
    _note_scale(walk, given.get("weight"))
    return axes


def _note_scale(walk: Walk, weight: Any) -> None:
    if isinstance(weight, Node):
        value = walk.weight(weight)
        if value is not None:
            walk.scales.add(id(value))


def _softmax(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = walk.of(given["self"])
    walk.channels.freeze(axes[given["dim"]], _REDUCED)
    return axes


def _pool(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | list[Axes] | None:
    axes = walk.of(given.get("self", given.get("input")))
    if f"{len(axes) - 2}d" not in operator_name(node):
        return None  # no batch dimension
    walk.channels.freeze_all(axes[2:], _SPACE)
    found = (*axes[:2], *(None for _ in axes[2:]))
    several = walk.shapes(node)
    return [found for _ in several] if several else found


def _reduce(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | None:
    axes, dims = walk.of(given["self"]), given.get("dim")
    if walk.shapes(node) or dims is None:
        return None
    picked = {dim % len(axes) for dim in (dims if isinstance(dims, list | tuple) else [dims])}
    walk.channels.freeze_all([axes[dim] for dim in picked], _REDUCED)
    if given.get("keepdim"):
        return tuple(None if dim in picked else axis for dim, axis in enumerate(axes))
    return tuple(axis for dim, axis in enumerate(axes) if dim not in picked)


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
            found.append(walk.channels.tie(parts, _INPUT) if size > 1 else None)
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
    walk.channels.freeze(axis, _INPUT)
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
        walk.channels.freeze(axis, _PICKED)
    return tuple(axes)


def _is_plain(bound: Any) -> bool:
    return bound is None or isinstance(bound, int)


def _select(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = list(walk.of(given["self"]))
    walk.channels.freeze(axes.pop(given["dim"]), _PICKED)
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
            walk.channels.freeze(axes[-back], _PICKED)
            axes[-back] = None
    return tuple(axes)


def _embedding(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    words, features = walk.of(given["weight"])
    walk.channels.freeze(words, _PICKED)
    return (*walk.of(given["indices"]), features)


def _size(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    walk.channels.freeze(walk.of(given["self"])[given["dim"]], "its number is used as a value")
    return ()


_MANY: Final[tuple[tuple[Rule, str], ...]] = (
    (_conv, "conv1d conv2d conv3d"),
    (_conv_transpose, "conv_transpose1d conv_transpose2d conv_transpose3d"),
    (_linear, "linear"),
    (_matmul, "matmul mm bmm"),
    (_addmm, "addmm"),
    (_batch_norm, "batch_norm instance_norm"),
    (_layer_norm, "layer_norm"),
    (_group_norm, "group_norm"),
    (_prelu, "prelu"),
    (_softmax, "softmax log_softmax _softmax _log_softmax"),
    (_reduce, "mean sum amax amin"),
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
    (_embedding, "embedding"),
    (_size, "sym_size"),
)
RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(_ONE_TO_ONE.split(), _one_to_one),
    **dict.fromkeys(_POOLS.split(), _pool),
    **{name: rule for rule, names in _MANY for name in names.split()},
}
