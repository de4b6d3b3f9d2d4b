"""What waits to be sent on one connection: replies are kept, events bounded, samples replaced."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

MAX_EVENTS: Final = 256
"""Overflow rule: the oldest event is dropped; the console asks for what it missed."""
WRITE_DEADLINE_S: Final = 10.0
"""A peer that has not taken a message for so long is cut off."""

Frame = str | bytes


class Outbox:
    """The frames of one connection. What the peer can take at once is sent at once, the rest by a task."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._replies: deque[Frame] = deque()
        self._events: deque[Frame] = deque(maxlen=MAX_EVENTS)
        self._sample: Frame | None = None
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._sending_since_s = 0.0

    def __len__(self) -> int:
        """Return how many replies wait."""
        return len(self._replies)

    def reply(self, frame: Frame) -> None:
        """Send or queue a reply; whoever calls bounds how many are owed."""
        if self._replies or self._sending_since_s or not self._send_now(frame):
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

    def _send_now(self, frame: Frame) -> bool:
        """Send without a task's detour if nothing waits before it; says whether that was possible."""
        connection = self._connection
        if connection.state is not State.OPEN or connection.transport.get_write_buffer_size():
            return False
        if isinstance(frame, str):
            connection.protocol.send_text(frame.encode())
        else:
            connection.protocol.send_binary(frame)
        connection.send_data()
        self._taken.set()
        return True

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
            self._taken.set()

    async def taken(self) -> None:
        """Wait until the peer has taken one more frame."""
        self._taken.clear()
        await self._taken.wait()

    def _next(self) -> Frame | None:
        if self._replies:
            return self._replies.popleft()
        if self._events:
            return self._events.popleft()
        frame, self._sample = self._sample, None
        return frame
