"""Marks of decisions on a chart: a shape where one was made, and a word where there is room.

Pure; no Textual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeconsole.tui.format import cut
from edgeconsole.tui.runs import Line, cells_of, merged


@dataclass(frozen=True, slots=True)
class Mark:
    """One decision."""

    at: float
    """On the clock of the chart."""
    shape: str
    label: str
    role: str


def overlay(line: Line, marks: Sequence[Mark], until: float, seconds: float, columns: int) -> Line:
    """Lay marks over a line of `columns` cells that ends at `until`; the newest are always whole."""
    step = seconds / columns
    origin = math.floor(until / step) - columns + 1
    cells = cells_of(line, columns)
    free = columns
    for mark in reversed(marks):
        x = math.floor(mark.at / step) - origin
        if not 0 <= x < free:
            continue
        word = cut(mark.label, free - x - 1)
        text = mark.shape + (word if word == mark.label and word.isascii() else "")
        for place, char in enumerate(text):
            cells[x + place] = (char, mark.role)
        free = x
    return merged(cells)
