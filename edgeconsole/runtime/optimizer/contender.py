"""What is measured: a model file in an engine with so many threads, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeconsole.engines import Execution
from edgeconsole.runtime.optimizer.engines import TORCH


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the report before it is judged."""

    name: str
    technique: str
    execution: Execution | None
    """`None`: an exported program in torch."""
    threads: int
    model: Path
    note: str = ""

    @property
    def engine(self) -> str:
        """Return the engine's name in the report."""
        return TORCH if self.execution is None else self.execution.engine


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
