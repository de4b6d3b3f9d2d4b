"""Text from other machines on this one's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text that cannot move the cursor, colour the terminal or begin a new line."""
    return "".join(char if char.isprintable() else "?" for char in text)
