"""The optimiser's cache on this device, kept from growing for ever."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

KEPT: Final = 20
"""Overflow rule: what was not written to for longest goes first; it can be measured again."""


def prune(cache: Path) -> None:
    """Keep the latest results, one folder for each bundle, level and gate. Blocking."""
    try:
        folders = [(each.stat().st_mtime_ns, each) for each in cache.iterdir() if each.is_dir()]
    except OSError:
        return  # There is none yet, or the next job will say what is wrong with it.
    for _, folder in sorted(folders)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
