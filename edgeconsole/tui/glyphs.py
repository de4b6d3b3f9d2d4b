"""The shapes the console draws with, in three alphabets, and the roles text can have. No Textual.

A level is always a shape and a word beside its colour, so that it can be read without colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgeconsole.fleet.levels import Level
from edgeconsole.protocol.telemetry import Severity

ROLES: Final = (
    "text",
    "muted",
    "faint",
    "strong",
    "accent",
    "key",
    "badge",
    "head",
    "ok",
    "warn",
    "crit",
    "failsafe",
    "stale",
    "gone",
    "unknown",
    "limit",
    "low",
    "mid",
    "high",
)
"""Every role text can have; the theme gives each a colour as `ec-ROLE`."""

BOLD: Final = frozenset({"crit", "head", "badge"})
ITALIC: Final = frozenset({"stale", "gone"})

LEVEL_ROLES: Final = {
    Level.CRITICAL: "crit",
    Level.FAILSAFE: "failsafe",
    Level.WARNING: "warn",
    Level.STALE: "stale",
    Level.GONE: "gone",
    Level.UNKNOWN: "unknown",
    Level.OK: "ok",
}
"""A level's role, which is also its word on the screen and in filters."""

SEVERITY_LEVELS: Final = {
    Severity.INFO: Level.OK,
    Severity.WARNING: Level.WARNING,
    Severity.CRITICAL: Level.CRITICAL,
}


class Dot(StrEnum):
    """What a variant is in a table or a plot of variants; later ones are drawn over earlier ones."""

    ORIGINAL = "original"
    FAILS = "fails a constraint"
    FITS = "fits"
    FRONT = "front"
    RECOMMENDED = "recommended"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One alphabet."""

    name: str
    shapes: dict[Level, str]
    ramp: str
    """Spark columns from empty to full; the first one is a gap."""
    dots_x: int
    """Chart dots in a cell, across."""
    dots_y: int
    """Chart dots in a cell, down."""
    cells: dict[int, str]
    """Dot pattern (bit = x + y * dots_x) to character; empty for braille, which is computed."""
    filled: str
    unfilled: str
    limit: str
    """A limit inside a gauge."""
    axis: str
    dotted: str
    """The warning line of a chart, repeated."""
    dashed: str
    """The limit line of a chart, repeated."""
    rule: str
    divider: str
    mark: str
    pointer: str
    switch: str
    """On a chart: from here on another bundle answers."""
    dots: dict[Dot, str]


_DOTS: Final = {
    Dot.ORIGINAL: "□",
    Dot.FAILS: "×",
    Dot.FITS: "○",
    Dot.FRONT: "●",
    Dot.RECOMMENDED: "◆",
}
_SHAPES: Final = {
    Level.OK: "●",
    Level.WARNING: "▲",
    Level.CRITICAL: "■",
    Level.FAILSAFE: "◆",
    Level.STALE: "◐",
    Level.GONE: "○",
    Level.UNKNOWN: "?",
}

BRAILLE: Final = Glyphs(
    name="braille",
    shapes=_SHAPES,
    ramp=" ▁▂▃▄▅▆▇█",
    dots_x=2,
    dots_y=4,
    cells={},
    filled="━",
    unfilled="─",
    limit="│",
    axis="┤",
    dotted="·",
    dashed="╌",
    rule="─",
    divider="│",
    mark="✓",
    pointer="▌",
    switch="◇",
    dots=_DOTS,
)

BLOCK: Final = Glyphs(
    name="block",
    shapes=_SHAPES,
    ramp=" ▁▂▃▄▅▆▇█",
    dots_x=2,
    dots_y=2,
    cells=dict(enumerate(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█")),
    filled="█",
    unfilled="░",
    limit="│",
    axis="┤",
    dotted="·",
    dashed="-",
    rule="─",
    divider="│",
    mark="✓",
    pointer="▌",
    switch="◇",
    dots=_DOTS,
)

ASCII: Final = Glyphs(
    name="ascii",
    shapes={
        Level.OK: "o",
        Level.WARNING: "!",
        Level.CRITICAL: "#",
        Level.FAILSAFE: "F",
        Level.STALE: "~",
        Level.GONE: "x",
        Level.UNKNOWN: "?",
    },
    ramp=" _.-:=+*#",
    dots_x=1,
    dots_y=2,
    cells=dict(enumerate(" '.:")),
    filled="=",
    unfilled="-",
    limit="|",
    axis="|",
    dotted=".",
    dashed="-",
    rule="-",
    divider="|",
    mark="*",
    pointer=">",
    switch="S",
    dots={
        Dot.ORIGINAL: "#",
        Dot.FAILS: "x",
        Dot.FITS: ".",
        Dot.FRONT: "o",
        Dot.RECOMMENDED: "@",
    },
)

ALPHABETS: Final = {glyphs.name: glyphs for glyphs in (BRAILLE, BLOCK, ASCII)}
