"""Where the captured sysfs trees and traces lie, if they are there: used in place, never copied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT_VARIABLE = "EDGECONSOLE_SYSFS_CAPTURES"


def captures() -> Path | None:
    """Return the folder with `cases` and `traces`; `None` if this machine has none."""
    named = os.environ.get(ROOT_VARIABLE)
    beside = Path(__file__).resolve().parents[4] / "shared" / "fixtures" / "sysfs"
    folder = Path(named) if named else beside
    return folder if (folder / "traces").is_dir() else None


def traces() -> list:
    """Return the recorded runs as parameters; one that is skipped with the reason if there are none."""
    return _found("traces/*.csv")


def cases() -> list:
    """Return likewise the captured trees."""
    return _found("cases/*")


def _found(pattern: str) -> list:
    folder = captures()
    if folder is None:
        reason = f"no captures beside the repository, and {ROOT_VARIABLE} names none"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    files = sorted(folder.glob(pattern))
    return [pytest.param(each, id=each.stem) for each in files if each.stem != "INDEX"]
