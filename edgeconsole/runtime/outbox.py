"""What waits to be sent on one connection: replies are kept, events bounded, samples replaced."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edgeconsole.runtime.connection import DirectConnection

MAX_EVENTS: Final = 256
"""Overflow rule: the oldest event is dropped; the console asks for what it missed."""
WRITE_DEADLINE_S: Final = 10.0
"""A peer that has not taken a message for so long is cut off."""

Frame = str | bytes


class Outbox:
    """The frames of one connection. What the peer can take at once is sent at once, the rest by a task."""

    def __init__(self, connection: DirectConnection) -> None:
        self._connection = connection
        self._replies: deque[Frame] = deque()
        self._events: deque[Frame] = deque(maxlen=MAX_EVENTS)
        self._sample: Frame | None = None
        self._filled = asyncio.Event()
        self.on_taken: Callable[[], None] | None = None
        """Called when the peer has taken a frame that had to wait."""
        self._sending_since_s = 0.0

    def __len__(self) -> int:
        """Return how many replies wait."""
        return len(self._replies)

    def reply(self, frame: Frame) -> None:
        """Send or queue a reply; whoever calls bounds how many are owed."""
        if self._replies or self._sending_since_s or not self._connection.send_now(frame):
            self._replies.append(frame)
            self._filled.set()

    def event(self, frame: Frame) -> None:
        """Queue an event; the oldest is dropped when too many wait."""
        self._events.append(frame)
        self._filled.set()

    def sample(self, frame: Frame) -> None:
        """Queue a sample in place of one that was not sent yet."""
        self._sample = frame
        self._filled.set()

    def blocked_s(self, now_s: float) -> float:
        """Return for how long the message in hand has not been taken by the peer."""
        return now_s - self._sending_since_s if self._sending_since_s else 0.0

    async def send(self) -> None:
        """Send what waits, for ever; raises `ConnectionClosed`."""
        while True:
            frame = self._next()
            if frame is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            self._sending_since_s = time.monotonic()
            await self._connection.send(frame)
            self._sending_since_s = 0.0
            if self.on_taken is not None:
                self.on_taken()

    def _next(self) -> Frame | None:
        if self._replies:
            return self._replies.popleft()
        if self._events:
            return self._events.popleft()
        frame, self._sample = self._sample, None
        return frame
