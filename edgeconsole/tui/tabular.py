"""Small tables as lines, with columns that give way when room is short. Pure; no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeconsole.tui.format import fit, width_of
from edgeconsole.tui.runs import Line, Run


@dataclass(frozen=True, slots=True)
class Head:
    """One column of a small table."""

    title: str
    rank: int
    """Who stays when room is short: 1 stays longest."""
    right: bool = True
    most: int = 20


def table(heads: Sequence[Head], rows: Sequence[Sequence[Run]], width: int) -> list[Line]:
    """Return a header line and one line per row, without the columns that do not fit."""
    widths = [
        min(head.most, max([width_of(head.title), *(width_of(row[at][0]) for row in rows)]))
        for at, head in enumerate(heads)
    ]
    room = width
    kept: set[int] = set()
    for at in sorted(range(len(heads)), key=lambda at: heads[at].rank):
        if widths[at] + 2 > room:
            break
        kept.add(at)
        room -= widths[at] + 2
    titles = [(head.title, "muted") for head in heads]
    return [_line(heads, row, widths, kept) for row in [titles, *rows]]


def _line(heads: Sequence[Head], row: Sequence[Run], widths: list[int], kept: set[int]) -> Line:
    runs: list[Run] = []
    for at in sorted(kept):
        text, role = row[at]
        runs.append((fit(text, widths[at], ">" if heads[at].right else "<"), role))
        runs.append(("  ", "text"))
    return tuple(runs)
