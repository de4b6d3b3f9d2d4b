"""`EdgeTelemetryCollector`: the agent's events and its sample of each second, and who hears of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edgeconsole.protocol.failsafe import Transition
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, Severity
from edgeconsole.protocol.thermal import ThermalTransition

KEPT_EVENTS: Final = 512
SAMPLE_S: Final = 1.0
"""Consoles that follow and the backlog get the same samples, so that each is one row in a history."""

_log = logging.getLogger("edgeconsole.agent")
_LOG_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class EdgeTelemetryCollector:
    """Keeps the latest events for consoles that come late, and tells those that are there."""

    def __init__(self, device_id: str, boot_id: str) -> None:
        self._device_id = device_id
        self._boot_id = boot_id
        self._events: deque[DeviceEvent] = deque(maxlen=KEPT_EVENTS)
        self._seq = 0
        self._loop = asyncio.get_running_loop()
        self._listeners: set[Callable[[DeviceEvent], None]] = set()
        self._followers: set[Callable[[DeviceSample], None]] = set()
        self.latest: DeviceSample | None = None
        """The sample of this second."""

    async def run(self, take: Callable[[], DeviceSample]) -> None:
        """Take a sample every second, for ever."""
        due_s = self._loop.time()
        while True:
            self.latest = sample = take()
            for follower in tuple(self._followers):
                follower(sample)
            due_s = max(due_s + SAMPLE_S, self._loop.time())
            await asyncio.sleep(due_s - self._loop.time())

    def record(
        self,
        severity: Severity,
        kind: str,
        message: str,
        transition: Transition | None = None,
        thermal: ThermalTransition | None = None,
    ) -> None:
        """Keep an event, log it and tell the listeners."""
        self._seq += 1
        event = DeviceEvent(
            device_id=self._device_id,
            boot_id=self._boot_id,
            seq=self._seq,
            time_unix_s=time.time(),
            severity=severity,
            kind=kind,
            message=message,
            transition=transition,
            thermal=thermal,
        )
        self._events.append(event)
        _log.log(_LOG_LEVELS[severity], "%s: %s", kind, message)
        for listener in tuple(self._listeners):
            listener(event)

    def record_soon(self, severity: Severity, kind: str, message: str) -> None:
        """Record an event from a thread."""
        self._loop.call_soon_threadsafe(self.record, severity, kind, message)

    def after(self, boot_id: str, seq: int) -> list[DeviceEvent]:
        """Return the kept events a console has not seen: all, if it last saw another start."""
        since = seq if boot_id == self._boot_id else 0
        return [event for event in self._events if event.seq > since]

    def listen(self, listener: Callable[[DeviceEvent], None]) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[DeviceEvent], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)

    def follow(self, follower: Callable[[DeviceSample], None]) -> None:
        """Call `follower` with the sample of every second from now on."""
        self._followers.add(follower)

    def unfollow(self, follower: Callable[[DeviceSample], None]) -> None:
        """Stop calling `follower`."""
        self._followers.discard(follower)
