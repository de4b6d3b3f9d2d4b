"""What to give up when a backlog is too large: old samples first, whole minutes last.

Pure. A block keeps each n-th sample (n = 1, 2, 4, 8); at 0 only its rollup and its events are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STEPS: Final = {1: 2, 2: 4, 4: 8, 8: 0}
"""To what a block is thinned next."""
_RANK: Final = {1: 0, 2: 1, 4: 2, 8: 3, 0: 4}
_QUOTAS: Final = ((1 / 2, 0), (3 / 4, 8), (7 / 8, 4), (15 / 16, 2))
"""The older half may lose all samples, the next quarter seven of eight; the newest keep all."""
AT_ONCE: Final = 64
"""Blocks that are thinned or dropped in one transaction."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A block as far as thinning looks at it."""

    place: int
    every: int


@dataclass(frozen=True, slots=True)
class Thin:
    """Keep only each `every`-th sample of these blocks."""

    places: tuple[int, ...]
    every: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove these blocks and write down that they are gone."""

    places: tuple[int, ...]


def give_up(oldest_first: Sequence[Kept]) -> Thin | Drop | None:
    """Return what goes next; `None` if there is nothing that may go.

    The least thinned of the blocks that may lose more are thinned, the oldest of them first. When none
    may lose more, the oldest go.
    """
    room = [
        block
        for index, block in enumerate(oldest_first)
        if _RANK[block.every] < _RANK[_may_become(index / len(oldest_first))]
    ]
    if room:
        least = min((block.every for block in room), key=lambda every: _RANK[every])
        chosen = [block.place for block in room if block.every == least][:AT_ONCE]
        return Thin(tuple(chosen), STEPS[least])
    older = oldest_first[: min(AT_ONCE, len(oldest_first) // 2)]
    return Drop(tuple(block.place for block in older)) if older else None


def _may_become(age_rank: float) -> int:
    """Return how far a block may be thinned; 0 is the oldest block's rank, 1 the newest's."""
    return next((every for below, every in _QUOTAS if age_rank < below), 1)
