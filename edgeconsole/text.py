"""Text from other machines on this one's terminal."""

from __future__ import annotations

import os
import sys


def printable(text: str) -> str:
    """Return a text that cannot move the cursor, colour the terminal or begin a new line."""
    return "".join(char if char.isprintable() else "?" for char in text)


def discard_output() -> None:
    """Send what is still to be printed nowhere, so that the interpreter's end does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
