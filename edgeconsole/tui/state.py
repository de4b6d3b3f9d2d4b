"""What the operator has set: filter, order, pause, rate; and the frame on show. No Textual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.store import DeviceView, FleetStore
from edgeconsole.tui import columns
from edgeconsole.tui.actions import ActionRegistry, TypeAheadGuard
from edgeconsole.tui.filter import EVERYTHING, Filter
from edgeconsole.tui.frame import Frame, take
from edgeconsole.tui.glyphs import Glyphs

LEAST_HZ: Final = 1.0
MOST_HZ: Final = 10.0
TELL_S: Final = 15.0
"""How long the outcome of an order stays in the crumb line."""


def now() -> datetime:
    """Return the time of day in the operator's zone."""
    return datetime.now().astimezone()


@dataclass(slots=True)
class ConsoleState:
    """The console's state beside the fleet's."""

    store: FleetStore
    glyphs: Glyphs
    registry: ActionRegistry
    wall_clock: Callable[[], datetime] = now
    refresh_hz: float = 4.0
    filter: Filter = EVERYTHING
    faults_only: bool = False
    order: columns.Order = field(default_factory=columns.Order)
    paused_at: float | None = None
    notice: str = ""
    """What went wrong with the console itself; stays until it is mended."""
    problem: str = ""
    """What the service cannot do at the moment."""
    told: str = ""
    """What became of the latest order; shown for a while."""
    told_until: float = 0.0
    guard: TypeAheadGuard = field(default_factory=TypeAheadGuard)
    frame: Frame = field(init=False)

    def __post_init__(self) -> None:
        """Take the first frame."""
        self.refresh_hz = min(MOST_HZ, max(LEAST_HZ, self.refresh_hz))
        self.frame = take(self.store, self.wall_clock())

    def update(self) -> None:
        """Take a new frame, unless the view is paused."""
        if self.paused_at is None:
            self.frame = take(self.store, self.wall_clock())

    def toggle_pause(self) -> None:
        """Freeze the view, or let it go on."""
        self.paused_at = self.store.clock() if self.paused_at is None else None
        self.update()

    @property
    def paused_s(self) -> float | None:
        """For how long the view has been frozen; `None`: it is not."""
        return None if self.paused_at is None else self.store.clock() - self.paused_at

    def change_rate(self, step: float) -> None:
        """Refresh more or less often, within bounds."""
        self.refresh_hz = min(MOST_HZ, max(LEAST_HZ, self.refresh_hz + step))

    def tell(self, text: str) -> None:
        """Say what became of an order."""
        self.told, self.told_until = text, self.store.clock() + TELL_S

    @property
    def telling(self) -> str:
        """What is to be told now; empty: nothing."""
        return self.told if self.store.clock() < self.told_until else ""

    def rows(self) -> list[DeviceView]:
        """Return the devices on show, in order."""
        if not self.filter and not self.faults_only:
            return columns.sort(self.frame.views, self.order)
        kept = [view for view in self.frame.views if self._shows(view)]
        return columns.sort(kept, self.order)

    def _shows(self, view: DeviceView) -> bool:
        if self.faults_only and view.level is Level.OK:
            return False
        return self.filter.keeps(view)
