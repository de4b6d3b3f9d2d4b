"""Lines of text with roles instead of colours, and how to cut, pad and join them. No Textual.

Screens are computed as lines; only a widget turns a role into a colour. That keeps what is shown
testable as plain values, and makes it impossible that data is read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from edgeconsole.tui.format import cut, width_of

Run = tuple[str, str]
"""A text and its role, such as `("95", "crit")`; `edgeconsole.tui.glyphs.ROLES` lists them."""

Line = tuple[Run, ...]
"""One line of the screen."""


def plain(line: Line) -> str:
    """Return a line's text."""
    return "".join(text for text, _ in line)


def line_width(line: Line) -> int:
    """Return how many cells a line takes."""
    return sum(width_of(text) for text, _ in line)


def crop(line: Line, width: int) -> Line:
    """Cut a line to `width` cells, marking a cut with an ellipsis."""
    if line_width(line) <= width:
        return line
    runs: list[Run] = []
    left = width
    for text, role in line:
        size = width_of(text)
        if size >= left:
            runs.append((cut(text + "…", left), role))
            break
        runs.append((text, role))
        left -= size
    return tuple(runs)


def pad(line: Line, width: int) -> Line:
    """Make a line exactly `width` cells wide."""
    size = line_width(line)
    if size > width:
        line = crop(line, width)
        size = line_width(line)
    return (*line, (" " * (width - size), "text")) if size < width else line


def spread(left: Line, right: Line, width: int) -> Line:
    """Put one line at the left edge and one at the right; the left one is cut if they meet."""
    room = max(0, width - line_width(right) - 1)
    return (*pad(left, room), (" ", "text"), *right) if right else pad(left, width)


def beside(blocks: Sequence[tuple[Sequence[Line], int]], gap: int = 2) -> list[Line]:
    """Put blocks of lines side by side, each but the last one padded to its width."""
    joined: list[Line] = []
    last = len(blocks) - 1
    for row in zip_longest(*(lines for lines, _ in blocks), fillvalue=()):
        runs: list[Run] = []
        for index, (line, (_, width)) in enumerate(zip(row, blocks, strict=True)):
            if index:
                runs.append((" " * gap, "text"))
            runs.extend(crop(line, width) if index == last else pad(line, width))
        joined.append(tuple(runs))
    return joined


def cells_of(line: Line, columns: int) -> list[Run]:
    """Return a line of narrow characters cell by cell, filled up to `columns`."""
    cells: list[Run] = [(char, role) for text, role in line for char in text]
    return cells + [(" ", "text")] * (columns - len(cells))


def merged(cells: Sequence[Run]) -> Line:
    """Return cells as a line: neighbours of one role are one run."""
    runs: list[Run] = []
    for char, role in cells:
        if runs and runs[-1][1] == role:
            runs[-1] = (runs[-1][0] + char, role)
        else:
            runs.append((char, role))
    return tuple(runs)


def join(parts: Sequence[Line], gap: str = "  ") -> Line:
    """Join the parts that are not empty, with a gap between them."""
    runs: list[Run] = []
    for part in parts:
        if part and runs:
            runs.append((gap, "text"))
        runs.extend(part)
    return tuple(runs)
