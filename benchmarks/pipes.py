"""Writes to pipes whole."""

from __future__ import annotations

import os


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it: a pipe takes only a part at once if the interpreter does not buffer."""
    os.set_blocking(descriptor, True)
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
