"""What is wrong with a command line, and what was probably meant. Pure; no Textual."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edgeconsole.errors import EdgeConsoleError


class CommandError(EdgeConsoleError):
    """A command line cannot be understood; the message names the nearest that can."""


def nearest(wanted: str, names: Sequence[str]) -> str:
    """Name the closest choice; without one, some of the choices."""
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    shown = ", ".join(names[:5])
    return f"there are {shown}{', …' if len(names) > 5 else ''}" if shown else ""
