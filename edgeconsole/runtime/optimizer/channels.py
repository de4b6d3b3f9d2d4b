"""Which channels of a model belong together, as sets of places in its weights; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Axis = npt.NDArray[np.int64] | None
"""The channel at every index of one dimension; `None` where no channel can be named."""
Axes = tuple[Axis, ...]


class Channels:
    """Disjoint sets of channel places, some of which must stay; a union-find.

    Two places are in one set if neither can go without the other: a residual sum ties what two
    convolutions write, and both to what the next one reads.
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._reasons: dict[int, str] = {}

    def fresh(self, size: int) -> Axis:
        """Return an axis of new channels; a dimension of one is no channel, because it broadcasts."""
        if size < 2:
            return None
        first = len(self._parent)
        self._parent.extend(range(first, first + size))
        return np.arange(first, first + size)

    def tie(self, axes: Iterable[Axis], reason: str) -> Axis:
        """Make axes of one size the same channels, index by index, and return them.

        Where one of them has no channels, those of the others must stay, for this reason.
        """
        parts = list(axes)
        named = [axis for axis in parts if axis is not None]
        if not named:
            return None
        for other in named[1:]:
            for one, two in zip(named[0].tolist(), other.tolist(), strict=True):
                self._join(one, two)
        if len(named) < len(parts):
            self.freeze(named[0], reason)
        return named[0]

    def freeze(self, axis: Axis, reason: str) -> None:
        """Say that these channels must stay, and why; the first reason is kept."""
        if axis is not None:
            for place in axis.tolist():
                self._reasons.setdefault(self._root(place), reason)

    def freeze_all(self, axes: Sequence[Axis], reason: str) -> None:
        """Freeze several axes."""
        for axis in axes:
            self.freeze(axis, reason)

    def roots(self, axis: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of each channel's set."""
        return np.array([self._root(place) for place in axis.tolist()], np.int64)

    def reason(self, root: int) -> str | None:
        """Return why a set must stay, or `None` if it may go."""
        return self._reasons.get(root)

    def _root(self, place: int) -> int:
        parent = self._parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first == second:
            return
        self._parent[second] = first
        reason = self._reasons.pop(second, None)
        if reason is not None:
            self._reasons.setdefault(first, reason)


def regroup(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[list[int], list[int]]] | None:
    """Split a reshape into the smallest blocks of dimensions that keep their values to themselves.

    Returns pairs of dimension numbers, before and after; `None` if a dimension is empty. Dimensions
    of one join a neighbouring block.
    """
    if 0 in before or 0 in after:
        return None
    blocks: list[tuple[list[int], list[int]]] = []
    left = right = 0
    while left < len(before) and right < len(after):
        ins, outs = [left], [right]
        size_in, size_out = before[left], after[right]
        while size_in != size_out:
            if size_in < size_out:
                ins.append(ins[-1] + 1)
                size_in *= before[ins[-1]]
            else:
                outs.append(outs[-1] + 1)
                size_out *= after[outs[-1]]
        left, right = ins[-1] + 1, outs[-1] + 1
        blocks.append((ins, outs))
    if blocks:  # ones that are left
        blocks[-1][0].extend(range(left, len(before)))
        blocks[-1][1].extend(range(right, len(after)))
    return blocks


def reshape(channels: Channels, before: Sequence[int], axes: Axes, after: Sequence[int]) -> Axes:
    """Carry channels through a reshape; those it mixes with other dimensions must stay.

    A channel may become a regular block of features (flatten) and the other way round.
    """
    reason = "a reshape splits channels"
    found: list[Axis] = [None] * len(after)
    blocks = regroup(before, after)
    if blocks is None:
        channels.freeze_all(axes, reason)
        return tuple(found)
    for ins, outs in blocks:
        shape_in = [before[dim] for dim in ins]
        named = [dim for dim in ins if axes[dim] is not None]
        if not named:
            continue
        if len(named) > 1:
            channels.freeze_all([axes[dim] for dim in named], reason)
            continue
        spread = _spread(axes[named[0]], shape_in, ins.index(named[0]))
        place = _gather(spread, [after[dim] for dim in outs])
        if place is None:
            channels.freeze(spread, reason)
        else:
            found[outs[place[0]]] = place[1]
    return tuple(found)


def _spread(axis: Axis, shape: list[int], position: int) -> npt.NDArray[np.int64]:
    """Return the channel of every value of a block, in memory order."""
    assert axis is not None
    view = axis.reshape([-1 if dim == position else 1 for dim in range(len(shape))])
    return np.ascontiguousarray(np.broadcast_to(view, shape)).reshape(-1)


def _gather(
    values: npt.NDArray[np.int64], shape: list[int]
) -> tuple[int, npt.NDArray[np.int64]] | None:
    """Return the one dimension along which a block's channels vary, and its channels."""
    block = values.reshape(shape)
    for dim, size in enumerate(shape):
        moved = np.moveaxis(block, dim, 0).reshape(size, -1)
        if size > 1 and bool((moved == moved[:, :1]).all()):
            return dim, moved[:, 0].copy()
    return None
