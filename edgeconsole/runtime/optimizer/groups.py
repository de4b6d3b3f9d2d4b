"""Groups of coupled channels, how much each channel matters, and which ones to keep; needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from edgeconsole.runtime.optimizer.build_words import BuildError, Scope
from edgeconsole.runtime.optimizer.trainable import attribute, attribute_names
from edgeconsole.runtime.optimizer.walk import Walk

_FEWEST: Final = 4
"""No group is left with fewer, if it had more."""
_WIDE: Final = 64
_LARGEST_SHARE: Final = 0.95
_SEARCH_STEPS: Final = 16
_FLOOR: Final = 0.1
"""Of a group's channels, what always stays when groups compete."""

_Place = tuple[int, int]
"""A weight's `id` and one of its dimensions."""


@dataclass(frozen=True)
class Group:
    """Channels that are made, carried and used in the same places; each can go by itself."""

    roots: npt.NDArray[np.int64]
    importance: npt.NDArray[np.float64]
    """By channel, 1 on average."""


class Groups:
    """All groups of a model that can lose channels, and why others cannot."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._tensors: dict[int, torch.Tensor] = {}
        for name in attribute_names(walk.module):
            value = attribute(walk.module, name)
            if isinstance(value, torch.Tensor):
                self._tensors[id(value)] = value
        self._roots: dict[_Place, npt.NDArray[np.int64]] = {
            (key, dim): walk.channels.roots(axis)
            for key in self._tensors
            for dim, axis in enumerate(walk.weights[key])
            if axis is not None
        }
        self.groups = tuple(self._collect())

    @property
    def channels(self) -> int:
        """Return how many channels could go."""
        return sum(len(group.roots) for group in self.groups)

    def reasons(self) -> list[str]:
        """Return why channels that layers make must stay, the commonest reason first."""
        found: dict[str, int] = {}
        for (key, dim), roots in self._roots.items():
            if dim == 0 and self._tensors[key].ndim > 1:
                for root in roots.tolist():
                    reason = self._walk.channels.reason(root)
                    if reason is not None:
                        found[reason] = found.get(reason, 0) + 1
        return sorted(found, key=lambda reason: -found[reason])

    def choose(self, share: float, scope: Scope) -> frozenset[int]:
        """Return the sets of channels to remove: about this share of all, the least important."""
        bar = 0.0
        if scope is Scope.GLOBAL and self.groups:
            everything = np.sort(np.concatenate([group.importance for group in self.groups]))
            bar = float(everything[min(int(share * len(everything)), len(everything) - 1)])
        removed: set[int] = set()
        for group in self.groups:
            size = len(group.roots)
            if scope is Scope.GLOBAL:
                wanted = max(_FLOOR * size, float((group.importance >= bar).sum()))
            else:
                wanted = size * (1.0 - share)
            order = np.argsort(-group.importance, kind="stable")
            removed.update(group.roots[order[_rounded(wanted, size) :]].tolist())
        return frozenset(removed)

    def choose_for_size(self, size_bytes: int, scope: Scope) -> frozenset[int]:
        """Return the smallest removal after which the weights take at most `size_bytes`.

        Raises `BuildError` if even the largest does not get there.
        """
        smallest = self.choose(_LARGEST_SHARE, scope)
        if self.size_after(smallest) > size_bytes:
            raise BuildError(
                f"pruning gets the weights down to {self.size_after(smallest)} bytes at most, "
                f"not to {size_bytes}"
            )
        low, high, best = 0.0, _LARGEST_SHARE, smallest
        for _ in range(_SEARCH_STEPS):
            middle = (low + high) / 2
            removed = self.choose(middle, scope)
            if self.size_after(removed) <= size_bytes:
                high, best = middle, removed
            else:
                low = middle
        return best

    def size_after(self, removed: frozenset[int]) -> int:
        """Return the bytes of all weights and buffers without these sets of channels."""
        total = 0
        gone = np.array(sorted(removed), np.int64)
        for key, tensor in self._tensors.items():
            sizes = list(tensor.shape)
            for dim in range(tensor.ndim):
                if (key, dim) in self._roots:
                    sizes[dim] -= int(np.isin(self._roots[key, dim], gone).sum())
            total += math.prod(sizes) * tensor.element_size()
        return total

    def _collect(self) -> list[Group]:
        places: dict[int, set[_Place]] = {}
        for place, roots in self._roots.items():
            for root in roots.tolist():
                if self._walk.channels.reason(root) is None:
                    places.setdefault(root, set()).add(place)
        order = {key: number for number, key in enumerate(self._tensors)}
        found: dict[tuple[_Place, ...], list[int]] = {}
        for root in sorted(places):
            signature = sorted(places[root], key=lambda place: (order[place[0]], place[1]))
            found.setdefault(tuple(signature), []).append(root)
        return [
            Group(np.array(roots), self._importance(signature, roots))
            for signature, roots in found.items()
            if len(roots) > 1
        ]

    def _importance(
        self, signature: tuple[_Place, ...], roots: list[int]
    ) -> npt.NDArray[np.float64]:
        """Return the mean over the group's weights of a channel's squared L2 norm in each.

        Every weight counts the same, however large its values; biases and statistics do not count.
        """
        number = {root: index for index, root in enumerate(roots)}
        total = np.zeros(len(roots))
        counted = 0
        for key, dim in signature:
            tensor = self._tensors[key]
            if tensor.ndim < 2 and key not in self._walk.scales:
                continue
            others = [other for other in range(tensor.ndim) if other != dim]
            energy = tensor.detach().double().square()
            energies = (energy.sum(dim=others) if others else energy).numpy()
            own = np.zeros(len(roots))
            for root, value in zip(self._roots[key, dim].tolist(), energies.tolist(), strict=True):
                if root in number:
                    own[number[root]] += value
            if own.mean() > 0:
                total += own / own.mean()
                counted += 1
        return total / counted if counted else np.ones(len(roots))


def _rounded(wanted: float, size: int) -> int:
    """Return how many of `size` channels stay: a count that kernels like, and never too few."""
    unit = 8 if size >= _WIDE else 4 if size >= 2 * _FEWEST else 1
    return min(size, max(_FEWEST, unit * math.floor(wanted / unit + 0.5)))
