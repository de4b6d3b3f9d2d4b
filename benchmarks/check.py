"""`Check`: a target and how it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the table of targets."""

    what: str
    limit: str
    measured: str
    met: bool
