"""How each operator carries, ties or pins the channels of its tensors; needs torch.

An operator that is not here makes the channels that reach it stay. Each rule returns the axes of
the result, or `None` for a use of the operator that it does not know.
"""

from __future__ import annotations

from typing import Any, Final

from torch.fx import Node

from edgeconsole.runtime.optimizer.channels import Axes
from edgeconsole.runtime.optimizer.layer_rules import LAYER_RULES
from edgeconsole.runtime.optimizer.shape_rules import SHAPE_RULES
from edgeconsole.runtime.optimizer.trainable import operator_name
from edgeconsole.runtime.optimizer.walk import NO_CHANNELS, SPACE, Rule, Walk

_REDUCED: Final = "an operator takes all channels together"

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
    return walk.broadcast([value for value in given.values() if walk.of(value)], walk.shape(node))


def _prelu(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes | None:
    axes = walk.of(given["self"])
    if walk.shape(given["weight"]) != (1,):
        if len(axes) < 2:
            return None
        walk.channels.tie([axes[1], walk.of(given["weight"])[0]], NO_CHANNELS)
    return axes


def _softmax(walk: Walk, _node: Node, given: dict[str, Any]) -> Axes:
    axes = walk.of(given["self"])
    walk.channels.freeze(axes[given["dim"]], _REDUCED)
    return axes


def _pool(walk: Walk, node: Node, given: dict[str, Any]) -> Axes | list[Axes] | None:
    axes = walk.of(given.get("self", given.get("input")))
    if f"{len(axes) - 2}d" not in operator_name(node):
        return None  # no batch dimension
    walk.channels.freeze_all(axes[2:], SPACE)
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


_BY_RULE: Final[tuple[tuple[Rule, str], ...]] = (
    (_prelu, "prelu"),
    (_softmax, "softmax log_softmax _softmax _log_softmax"),
    (_reduce, "mean sum amax amin"),
)
RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(_ONE_TO_ONE.split(), _one_to_one),
    **dict.fromkeys(_POOLS.split(), _pool),
    **{name: rule for rule, names in _BY_RULE for name in names.split()},
    **LAYER_RULES,
    **SHAPE_RULES,
}
"""By operator name, without overload and the mark of in-place ones."""
