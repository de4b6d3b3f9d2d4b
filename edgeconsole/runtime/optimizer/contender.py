"""What is measured: a model file in an engine with so many threads, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the report before it is judged."""

    name: str
    technique: str
    engine: str
    threads: int
    model: Path
    note: str = ""


@dataclass(slots=True)
class Timing:
    """What measuring a contender gave; times in milliseconds."""

    load_ms: float | None = None
    rounds_ms: list[float] = field(default_factory=list)
    """Each round's median."""
    all_ms: list[float] = field(default_factory=list)
    peak_rss_bytes: int | None = None
    failure: str = ""
    """Why it could not be measured to the end."""
