"""Looks for alerts while a console runs: every five seconds at every device, into the history, to whom it concerns."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import uuid4

from edgeconsole.errors import StoreError
from edgeconsole.fleet.alert_book import AlertBook
from edgeconsole.fleet.alerts import AlertEvaluator, Change
from edgeconsole.fleet.hooks import Hooks
from edgeconsole.fleet.incidents import Incidents
from edgeconsole.fleet.store import OWN_BOOT, FleetStore
from edgeconsole.protocol.telemetry import DeviceEvent, Severity
from edgeconsole.specs import AlertConfig

LOOK_S: Final = 5.0
"""Conditions hold for five seconds and more."""
SEEN_S: Final = 10.0
"""How often it is written down that somebody looks."""
MAX_WAITING: Final = 10_000
"""Overflow rule while the disk refuses: the oldest changes are not written; they were shown."""
_MOST_OPEN: Final = 100_000


class Recorder(Protocol):
    """Where events are kept."""

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Keep an event."""
        ...


class AlertWatch:
    """Evaluates, groups, writes and tells."""

    def __init__(
        self,
        config: AlertConfig,
        store: FleetStore,
        book: AlertBook,
        recorder: Recorder,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.hooks = Hooks(config)
        self.problem = ""
        """Why alerts are not written at the moment; empty while all is well."""
        self._store = store
        self._book = book
        self._recorder = recorder
        self._wall_clock = wall_clock
        self._evaluator = AlertEvaluator(config)
        self._incidents = Incidents()
        self._boot_id = f"{OWN_BOOT}{uuid4().hex}"
        self._numbers = itertools.count(1)
        self._unwritten: deque[Change] = deque(maxlen=MAX_WAITING)
        self._seen_at = float("-inf")

    async def run(self) -> None:
        """Look for ever."""
        await self.restore()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hooks.run(), name="alert hooks")
            while True:
                await self.look()
                await asyncio.sleep(LOOK_S)

    async def restore(self) -> None:
        """Go on with the alerts that an earlier console left open."""
        try:
            rows = await asyncio.to_thread(self._book.rows, _MOST_OPEN, only_open=True)
        except StoreError as error:
            self.problem = error.message
            return
        known = set(self._store.ids())
        self._evaluator.restore(
            [(row.device_id, row.kind) for row in rows if row.device_id in known]
        )

    async def look(self) -> None:
        """Look once at every device."""
        now, now_unix_s = self._store.clock(), self._wall_clock()
        changes = [
            change for view in self._store.devices() for change in self._evaluator.look(view, now)
        ]
        self._incidents.take(changes, now, now_unix_s)
        self._unwritten.extend(changes)
        if self._unwritten or now - self._seen_at >= SEEN_S:
            await self._write(now, now_unix_s)
        for incident in self._incidents.due(now):
            self.hooks.tell(incident)

    async def _write(self, now: float, now_unix_s: float) -> None:
        changes = list(self._unwritten)
        try:
            new: Sequence[Change] = ()
            if changes:
                new = await asyncio.to_thread(self._book.write, changes, now_unix_s)
            await asyncio.to_thread(self._book.looked, now_unix_s)
        except StoreError as error:
            self.problem = error.message
            return
        self.problem = ""
        self._seen_at = now
        for _ in changes:
            self._unwritten.popleft()
        for change in new:
            self._tell(change, now_unix_s)

    def _tell(self, change: Change, now_unix_s: float) -> None:
        """Make an event of a change that nobody told before."""
        what = "" if change.firing else " is over"
        event = DeviceEvent(
            device_id=change.device_id,
            boot_id=self._boot_id,
            seq=next(self._numbers),
            time_unix_s=now_unix_s,
            severity=change.severity if change.firing else Severity.INFO,
            kind=f"alert_{change.kind.value}",
            message=f"{change.kind.value}{what}: {change.detail}",
        )
        self._store.add_event(change.device_id, event)
        self._recorder.add_event(change.device_id, event)
