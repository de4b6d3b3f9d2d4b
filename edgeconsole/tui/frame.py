"""One frame: the fleet as all widgets of a screen show it at one moment. Pure; no Textual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from edgeconsole.fleet.levels import Freshness, Level
from edgeconsole.fleet.store import DeviceView, FleetStore, Point
from edgeconsole.protocol.telemetry import DeviceEvent, Quality
from edgeconsole.tui import format as fmt


@dataclass(frozen=True, slots=True)
class PowerSum:
    """What the live devices draw together, and how far that figure can be trusted."""

    total_w: float
    known: int
    unknown: int
    estimated: bool
    simulated: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """A snapshot of the store with the two clocks it was taken at."""

    at: float
    """The store's monotonic clock."""
    wall: datetime
    fleet: str
    views: tuple[DeviceView, ...]
    by_id: Mapping[str, DeviceView]
    counts: Mapping[Level, int]
    worst: DeviceView | None
    """The live device whose p99 is nearest to its deadline."""
    power: PowerSum

    def points(self, store: FleetStore, device_id: str, seconds: float) -> tuple[Point, ...]:
        """Return the chart points up to this frame, so that a paused view stays as it is."""
        since_frame = store.clock() - self.at
        points = store.points(device_id, seconds + since_frame)
        if since_frame <= 0 or not points or points[-1].at <= self.at:
            return points
        return tuple(point for point in points if point.at <= self.at)

    def events(self, store: FleetStore, device_id: str) -> tuple[DeviceEvent, ...]:
        """Return a device's recent events, newest first."""
        return tuple(reversed(store.events(device_id)))

    def time_of(self, unix_s: float) -> str:
        """Return a device's time of day, in the console's zone; with the date if not today."""
        return fmt.time_of_day(unix_s, self.wall)


def take(store: FleetStore, wall: datetime) -> Frame:
    """Read the store once."""
    at = store.clock()
    views = store.devices()
    live = [view for view in views if view.freshness is Freshness.LIVE]
    return Frame(
        at=at,
        wall=wall,
        fleet=store.spec.name,
        views=views,
        by_id={view.id: view for view in views},
        counts=Counter(view.level for view in views),
        worst=max(
            (view for view in live if view.budget is not None),
            key=lambda view: view.budget or 0.0,
            default=None,
        ),
        power=_power(views),
    )


def _power(views: tuple[DeviceView, ...]) -> PowerSum:
    """Sum the known draws; a device that is not live has none that is known now."""
    readings = [
        view.sample.power_w
        for view in views
        if view.freshness is Freshness.LIVE and view.sample is not None
    ]
    known = [reading for reading in readings if reading.value is not None]
    return PowerSum(
        total_w=sum(reading.value or 0.0 for reading in known),
        known=len(known),
        unknown=len(views) - len(known),
        estimated=any(reading.quality is Quality.ESTIMATED for reading in known),
        simulated=any(reading.quality is Quality.SIMULATED for reading in known),
    )
