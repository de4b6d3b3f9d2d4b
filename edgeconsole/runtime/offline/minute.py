"""The minute that is being kept: samples and events as they come, numbered in one row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgeconsole.protocol.backlog import MAX_BLOCK_EVENTS, MAX_BLOCK_SAMPLES, Block, Gap
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import MINUTE_S, fold
from edgeconsole.protocol.telemetry import DeviceEvent


@dataclass(slots=True)
class Minute:
    """A minute of the device's clock. `first` and `last` are the numbers of its records."""

    first: int
    start_unix_s: float
    before: Figures | None
    """The last sample ahead of it."""
    gap: Gap | None = None
    """What was lost ahead of it."""
    last: int = 0
    closed: bool = False
    events_lost: int = 0
    written: int = 0
    """How many of its samples are on disk already."""
    samples: list[Figures] = field(default_factory=list)
    events: list[DeviceEvent] = field(default_factory=list)

    def holds(self, time_unix_s: float) -> bool:
        """Say whether a moment falls into it, and there is room for a sample."""
        same = minute_of(time_unix_s) == self.start_unix_s
        return same and len(self.samples) < MAX_BLOCK_SAMPLES

    def add_sample(self, seq: int, sample: Figures) -> None:
        """Take a sample as record `seq`."""
        self.samples.append(sample)
        self.last = seq

    def add_event(self, seq: int, event: DeviceEvent) -> None:
        """Take an event as record `seq`; overflow rule: the oldest of the minute goes."""
        if len(self.events) == MAX_BLOCK_EVENTS:
            del self.events[0]
            self.events_lost += 1
        self.events.append(event)
        self.last = seq

    def copied(self) -> Minute:
        """Return a copy for the thread that writes it."""
        return replace(self, samples=list(self.samples), events=list(self.events))

    def block(self) -> Block:
        """Return it as it is now."""
        return Block(
            samples=tuple(self.samples),
            events=tuple(self.events),
            rollup=fold(self.samples, self.before) if self.closed and self.samples else None,
            minute_unix_s=self.start_unix_s,
            gap=self._gap(),
        )

    def _gap(self) -> Gap | None:
        if not self.events_lost:
            return self.gap
        until = self.start_unix_s + MINUTE_S
        lost = Gap(self.start_unix_s, until, 0, self.events_lost, "too many events in a minute")
        return lost if self.gap is None else joined(self.gap, lost)


def minute_of(time_unix_s: float) -> float:
    """Return the beginning of a moment's minute."""
    return time_unix_s // MINUTE_S * MINUTE_S


def joined(older: Gap, newer: Gap) -> Gap:
    """Return one gap in place of two; the newer one's reason stands."""
    return Gap(
        since_unix_s=min(older.since_unix_s, newer.since_unix_s),
        until_unix_s=max(older.until_unix_s, newer.until_unix_s),
        samples=older.samples + newer.samples,
        events=older.events + newer.events,
        reason=newer.reason,
    )
