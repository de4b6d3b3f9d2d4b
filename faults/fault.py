"""What a fault is, for the runner and the catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from edgeconsole.protocol.inference import Rung
from faults.plant import Launch, Plant
from faults.shim import Shim


@dataclass
class Scene:
    """A plant, and what a fault says while it is done to it."""

    plant: Plant
    shim: Shim | None
    seed: int
    notes: list[str] = field(default_factory=list)
    """What is worth a word in the table."""
    wrong: list[str] = field(default_factory=list)
    """What should not have been."""
    begun_s: float = 0.0

    def begins(self) -> None:
        """Mark the moment at which the fault is there; the first call counts."""
        self.begun_s = self.begun_s or time.monotonic()

    def check(self, what: str, *, holds: bool) -> None:
        """Take down what should be true and is not."""
        if not holds:
            self.wrong.append(what)


Inject = Callable[[Scene], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One fault: entering `inject` begins it, leaving ends it."""

    name: str
    inject: Inject
    hold_s: float = 0.0
    """For how long it stays after it began."""
    falls_to: Rung | None = None
    """The rung that must answer meanwhile; `None`: the primary may take it."""
    falls: bool = True
    """Whether the route itself must go to `falls_to`, not only single requests."""
    takes_cores: bool = False
    """It leaves no core free: its times are reported apart."""
    small_store: bool = False
    shimmed: bool = False
    missing: Callable[[], str] | None = None
    """Returns why this machine cannot do it; empty if it can."""

    def launch(self, shim: Shim | None) -> Launch:
        """Return how the agent must be started for it."""
        return Launch(small_store=self.small_store, shim=shim if self.shimmed else None)
