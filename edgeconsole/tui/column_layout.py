"""Which of the fleet table's columns fit, and where they stand. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui.columns import COLUMNS, Column
from edgeconsole.tui.format import width_of

GAP: Final = 2
MARGIN: Final = 2
"""Cells left of the first column: pointer and mark."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A column with its place in the line."""

    column: Column
    x: int
    width: int


def wanted(views: Sequence[DeviceView], before: Mapping[str, int]) -> dict[str, int]:
    """Return how wide the contents want to be; widths only grow, so that columns hold still."""
    widths = dict(before)
    for column in COLUMNS:
        if column.most > column.least and column.id != "spark":
            size = max((width_of(column.cell(view)[0]) for view in views), default=0)
            widths[column.id] = max(size, widths.get(column.id, 0))
    return widths


def layout(width: int, wants: Mapping[str, int], pan: int = 0) -> tuple[Placed, ...]:
    """Choose the columns that fit and share out the room that is left.

    Args:
        width: Cells of a line.
        wants: The widths the contents want; a column nobody fills is left out.
        pan: 0: the most important columns; else the place of the first one that is not pinned.
    """
    offered = [column for column in COLUMNS if column.id != "site" or wants.get("site")]
    chosen = _most_important(offered, width) if pan == 0 else _from(offered, width, pan)
    widths = {column.id: column.least for column in chosen}
    room = width - MARGIN - 1 - sum(widths.values()) - GAP * (len(chosen) - 1)
    for column in sorted(chosen, key=lambda each: each.id == "spark"):
        want = column.most if column.id == "spark" else wants.get(column.id, column.least)
        extra = max(0, min(room, min(want, column.most) - column.least))
        widths[column.id] += extra
        room -= extra
    placed: list[Placed] = []
    x = MARGIN
    for column in chosen:
        placed.append(Placed(column, x, widths[column.id]))
        x += widths[column.id] + GAP
    return tuple(placed)


def _most_important(offered: Sequence[Column], width: int) -> list[Column]:
    room = width - MARGIN - 1 + GAP
    kept: set[str] = set()
    for column in sorted(offered, key=lambda each: each.rank):
        if column.least + GAP > room:
            break
        kept.add(column.id)
        room -= column.least + GAP
    return [column for column in offered if column.id in kept]


def _from(offered: Sequence[Column], width: int, pan: int) -> list[Column]:
    chosen = [column for column in offered if column.pinned]
    room = width - MARGIN - 1 + GAP - sum(column.least + GAP for column in chosen)
    for column in [column for column in offered if not column.pinned][pan - 1 :]:
        if column.least + GAP > room:
            break
        chosen.append(column)
        room -= column.least + GAP
    return chosen


def last_pan(width: int, wants: Mapping[str, int]) -> int:
    """Return the furthest the columns can be moved: the last one has come into sight."""
    offered = [column for column in COLUMNS if column.id != "site" or wants.get("site")]
    loose = [column.id for column in offered if not column.pinned]
    if len(layout(width, wants)) == len(offered):
        return 0
    for pan in range(1, len(loose) + 1):
        if layout(width, wants, pan)[-1].column.id == loose[-1]:
            return pan
    return 0
