"""The queue before a worker: by priority, then earliest deadline, then arrival; bounded."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.tensors import Array


@dataclass(slots=True)
class Answer:
    """What a model said. `outputs` are views that end when the callback returns."""

    model: str
    version: str
    variant: str
    outputs: list[tuple[str, Array]]
    queue_ms: float
    infer_ms: float
    total_ms: float


Outcome = Answer | RequestError


@dataclass(slots=True)
class Pending:
    """A request on its way; `finish` is called exactly once. Times are monotonic seconds."""

    inputs: list[Array]
    output_names: tuple[str, ...]
    priority: int
    received_s: float
    deadline_s: float
    finish: Callable[[Outcome], None]
    done: bool = False
    attempts: int = 0
    dispatched_s: float = 0.0
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def resolve(self, outcome: Outcome) -> None:
        """Finish the request, unless it is finished."""
        if self.done:
            return
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self.finish(outcome)


class RequestBatcher:
    """Requests that wait for one model's worker."""

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._heap: list[tuple[int, float, int, Pending]] = []
        self._arrivals = 0
        self._waiting = 0

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._waiting

    def push(self, pending: Pending) -> None:
        """Queue a request; raises `RequestError` (QUEUE_FULL) instead of growing without bound."""
        if self._waiting >= self._max_queue:
            raise RequestError(
                ErrorCode.QUEUE_FULL,
                f"{self._waiting} requests wait already",
                hint="try again later, or send to another device",
            )
        self._arrivals += 1
        heapq.heappush(self._heap, (-pending.priority, pending.deadline_s, self._arrivals, pending))
        self._waiting += 1

    def pop(self) -> Pending | None:
        """Take the request that goes next, or `None`."""
        while self._heap:
            pending = heapq.heappop(self._heap)[3]
            if not pending.done:
                self._waiting -= 1
                return pending
        return None

    def forget(self) -> None:
        """Account for one waiting request that was resolved; it leaves the heap in passing."""
        self._waiting -= 1
        # Expired and cancelled requests hold their tensors: do not let them pile up.
        if len(self._heap) > 2 * self._waiting + 64:
            self._heap = [entry for entry in self._heap if not entry[3].done]
            heapq.heapify(self._heap)

    def clear(self) -> list[Pending]:
        """Take all waiting requests out."""
        waiting = [entry[3] for entry in self._heap if not entry[3].done]
        self._heap.clear()
        self._waiting = 0
        return waiting
