"""`RequestBatcher`: what waits for one model's workers, and which of it goes next, together.

Order: priority, then earliest deadline. A batch is the largest that still meets every member's
deadline by the live curve and still makes rows cheaper. No clock and no I/O: time is an argument.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.answers import AnswerForm
from edgeconsole.protocol.inference import (
    MAX_PRIORITY,
    AnswerParameters,
    PriorityClass,
    Rung,
    ServerFrame,
    encode_answer,
)
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.serving.curve import BatchCurve
from edgeconsole.specs import QueuePolicy

_log = logging.getLogger("edgeconsole.agent")

AGING_S: Final = 1.0
"""For each second a request has waited it counts as one priority higher: nobody starves."""
_URGENT_MEMORY_S: Final = 2.0
_BLOCKING: Final = 1.25
"""While several priorities are about, a batch takes at most this multiple of a single row's time."""


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
    cached: bool = False
    degraded: bool = False
    rung: Rung = Rung.PRIMARY
    failsafe: bool = False
    shed: int = 0
    age_ms: float | None = None
    form: AnswerForm | None = None
    """Shared by answers that differ only in their times and values; see `AnswerForm`."""

    def header(self, request_id: str, device_id: str) -> ServerFrame:
        """Return what the answer says about itself, without its tensors."""
        return ServerFrame(
            id=request_id,
            model_name=self.model,
            model_version=self.version,
            parameters=AnswerParameters(
                variant=self.variant,
                device=device_id,
                queue_ms=self.queue_ms,
                infer_ms=self.infer_ms,
                total_ms=self.total_ms,
                cached=self.cached,
                degraded=self.degraded,
                rung=self.rung,
                failsafe=self.failsafe,
                shed=self.shed,
                age_ms=self.age_ms,
            ),
        )

    def encode(self, request_id: str, device_id: str, *, binary: bool) -> str | bytes:
        """Return the answer as a frame."""
        form = self.form
        if form is None or not binary:
            return encode_answer(self.header(request_id, device_id), self.outputs, binary=binary)
        if not form.is_made:
            form.make(self.header("", device_id), self.outputs)
        return form.fill(request_id, self.queue_ms, self.infer_ms, self.total_ms, self.outputs)


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
    rows: int = 1
    size_bytes: int = 0
    shapes: tuple[tuple[int, ...], ...] | None = None
    """The inputs' shapes without the batch; `None` if it cannot share a batch."""
    done: bool = False
    expected_ms: float = 0.0
    """The wait it was admitted with; 0 if it did not have to wait, or its wait is over."""
    attempts: int = 0
    began_s: float = 0.0
    """When a worker last got it; 0 if none did."""
    batch_rows: int = 0
    """The rows of the batch it ran in."""
    ticket: int = 0
    """Its place in the queue; 0 while it is not in one."""
    counted: bool = True
    """Whether it is a client's request to this model: not a trial, a shadow, a self-test or another's."""
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def resolve(self, outcome: Outcome) -> None:
        """Finish the request, unless it is finished."""
        if self.done:
            return
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        deliver(self.finish, outcome)


def deliver(finish: Callable[[Outcome], None], outcome: Outcome) -> None:
    """Hand over an outcome; a defect in one client's answer must not cost the others theirs."""
    try:
        finish(outcome)
    except Exception:  # noqa: BLE001
        _log.exception("an answer could not be delivered")
        if isinstance(outcome, Answer):
            finish(RequestError(ErrorCode.INTERNAL, "the answer could not be encoded"))


Entry = tuple[float, int, Pending]


class RequestBatcher:
    """Waiting requests of one model, one lane a priority, each lane by deadline."""

    def __init__(self, max_queue: int, max_queue_bytes: int, policy: QueuePolicy) -> None:
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._policy = policy
        self._lanes: list[list[Entry]] = [[] for _ in range(MAX_PRIORITY + 1)]
        self._by_class = dict.fromkeys(PriorityClass, 0)
        self._count = 0
        self._bytes = 0
        self._tickets = 0
        self._last_seen = dict.fromkeys(PriorityClass, float("-inf"))

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._count

    def __iter__(self) -> Iterator[Pending]:
        """Return the waiting requests, highest priority first."""
        for lane in reversed(self._lanes):
            for entry in lane:
                yield entry[2]

    def push(self, pending: Pending, now_s: float) -> Pending | None:
        """Queue a request; returns the one that was dropped for it, if the policy drops.

        Raises:
            RequestError: QUEUE_FULL.
        """
        priority_class = PriorityClass.of(pending.priority)
        self._last_seen[priority_class] = now_s
        waiting = self._by_class[priority_class]
        dropped = None
        if waiting >= self._max_queue:
            if self._policy is QueuePolicy.REJECT:
                raise _full(f"{waiting} {priority_class} requests wait already")
            dropped = self._oldest(priority_class)
        held_bytes = self._bytes - (dropped.size_bytes if dropped else 0)
        if held_bytes and held_bytes + pending.size_bytes > self._max_queue_bytes:
            raise _full(f"{self._bytes >> 20} MiB of requests wait already")
        if dropped is not None:
            self.remove(dropped)
        self._tickets += 1
        pending.ticket = self._tickets
        bisect.insort(self._lanes[pending.priority], (pending.deadline_s, pending.ticket, pending))
        self._by_class[priority_class] += 1
        self._count += 1
        self._bytes += pending.size_bytes
        return dropped

    def remove(self, pending: Pending) -> bool:
        """Take a request out wherever it is; says whether it was there."""
        if not pending.ticket:
            return False
        lane = self._lanes[pending.priority]
        index = bisect.bisect_left(lane, (pending.deadline_s, pending.ticket))
        del lane[index]
        self._left(pending)
        return True

    def clear(self) -> list[Pending]:
        """Take all waiting requests out."""
        waiting = list(self)
        for pending in waiting:
            self.remove(pending)
        return waiting

    def rows_ahead(self, priority: int, deadline_s: float) -> int:
        """Return about how many requests would go before one of this priority and deadline."""
        ahead = sum(len(lane) for lane in self._lanes[priority + 1 :])
        return ahead + bisect.bisect_right(self._lanes[priority], (deadline_s, self._tickets))

    def take(
        self, now_s: float, curve: BatchCurve, max_rows: int, max_bytes: int = 1 << 62
    ) -> list[Pending]:
        """Take the next batch out; empty if nothing waits."""
        first = self._next(now_s)
        if first is None:
            return []
        self.remove(first)
        batch = [first]
        if first.shapes is None or max_rows <= first.rows or not len(self):
            return batch
        rows, size_bytes, deadline_s = first.rows, first.size_bytes, first.deadline_s
        limit_rows = min(max_rows, curve.enough_rows(max_rows))
        limit_ms = self._blocking_limit_ms(now_s, curve)
        for candidate in self:
            total = rows + candidate.rows
            if total > limit_rows or size_bytes + candidate.size_bytes > max_bytes:
                break
            until_s = min(deadline_s, candidate.deadline_s)
            takes_ms = curve.bound_ms(total)
            if takes_ms > limit_ms or now_s + takes_ms / 1e3 > until_s:
                break
            if candidate.shapes != first.shapes:
                continue
            batch.append(candidate)
            rows, size_bytes, deadline_s = total, size_bytes + candidate.size_bytes, until_s
        for member in batch[1:]:
            self.remove(member)
        return batch

    def _next(self, now_s: float) -> Pending | None:
        """Return who goes first: the highest priority, a waiting second counting as one more."""
        best: Pending | None = None
        best_rank = (-1.0, -1)
        for priority in range(MAX_PRIORITY, -1, -1):
            lane = self._lanes[priority]
            if lane:
                pending = lane[0][2]
                rank = (priority + int((now_s - pending.received_s) / AGING_S), priority)
                if rank > best_rank:
                    best, best_rank = pending, rank
        return best

    def _blocking_limit_ms(self, now_s: float, curve: BatchCurve) -> float:
        """Return how long a batch may take so that urgent requests do not stand behind a long one."""
        recent = [
            each for each in PriorityClass if now_s - self._last_seen[each] < _URGENT_MEMORY_S
        ]
        return _BLOCKING * curve.bound_ms(1) if len(recent) > 1 else float("inf")

    def _oldest(self, priority_class: PriorityClass) -> Pending | None:
        waiting = (each for each in self if PriorityClass.of(each.priority) is priority_class)
        return min(waiting, key=lambda each: each.ticket, default=None)

    def _left(self, pending: Pending) -> None:
        pending.ticket = 0
        self._by_class[PriorityClass.of(pending.priority)] -= 1
        self._count -= 1
        self._bytes -= pending.size_bytes


def _full(message: str) -> RequestError:
    return RequestError(
        ErrorCode.QUEUE_FULL, message, hint="try again later, or send to another device"
    )
