"""The loads that a client process can put on a server: closed loops, open loops, `EdgeClient`s."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.jobs import ClosedLoop, EdgeClients, Group, OpenLoop, Outcome
from benchmarks.wire import Connection, connection_class

_RETRY_S: Final = 0.001
_MARGIN_S: Final = 20.0
_ID_DIGITS: Final = 8
_MAX_CONNECTIONS: Final = 2_048
_now_ns = time.perf_counter_ns


@dataclass(slots=True)
class _Clock:
    """When a measurement counts, and when its clients stop."""

    from_ns: int
    until_ns: int


class _ClosedClients:
    """One group's clients, driven by callbacks alone."""

    def __init__(self, group: Group, clock: _Clock, chance: random.Random) -> None:
        self._group = group
        self._clock = clock
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._connections: list[Connection] = []
        self._sent: dict[Connection, int] = {}
        self._wrapped = b""
        self._left = group.clients
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.outcome = Outcome()

    @property
    def waiting(self) -> int:
        """Return how many clients still wait for an answer."""
        return 0 if self.done.done() else self._left

    async def open(self) -> None:
        """Connect all clients."""
        kind = connection_class(self._group.endpoint.transport)
        for _ in range(self._group.clients):
            connection = await kind.open(self._group.endpoint, self._take, self._lost)
            self._connections.append(connection)
        self._wrapped = self._connections[0].wrap(self._group.request)

    def start(self) -> None:
        """Send the first requests."""
        for connection in self._connections:
            self._send(connection)

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.close()

    def _send(self, connection: Connection) -> None:
        now_ns = _now_ns()
        if now_ns >= self._clock.until_ns:
            self._end_one()
            return
        self._sent[connection] = now_ns
        connection.send(self._wrapped)

    def _take(self, connection: Connection, good: bool, body: bytes) -> None:  # noqa: FBT001
        now_ns = _now_ns()
        took_ns = now_ns - self._sent[connection]
        counts = self._clock.from_ns <= now_ns < self._clock.until_ns
        if good:
            if counts:
                self.outcome.took_ns.append(took_ns)
                self.outcome.ended_ns.append(now_ns)
            if self._group.pause_ms:
                pause_s = self._group.pause_ms * self._chance.uniform(0.5, 1.5) / 1e3
                self._loop.call_later(pause_s, self._send, connection)
            else:
                self._send(connection)
            return
        if counts:
            self.outcome.refused_ns.append(took_ns)
            self.outcome.first_refusal = self.outcome.first_refusal or _text(body)
        self._loop.call_later(_RETRY_S, self._send, connection)

    def _lost(self, _connection: Connection) -> None:
        self.outcome.failed += 1
        self._end_one()

    def _end_one(self) -> None:
        self._left -= 1
        if self._left <= 0 and not self.done.done():
            self.done.set_result(None)


async def run_closed(job: ClosedLoop) -> list[Outcome]:
    """Run closed-loop groups side by side; returns one outcome a group."""
    clock = _Clock(0, 0)
    chance = random.Random(job.seed)
    groups = [_ClosedClients(group, clock, chance) for group in job.groups]
    try:
        for group in groups:
            await group.open()
        clock.from_ns = _now_ns() + int(job.warm_s * 1e9)
        clock.until_ns = clock.from_ns + int(job.seconds * 1e9)
        for group in groups:
            group.start()
        ends = [group.done for group in groups]
        await asyncio.wait(ends, timeout=job.warm_s + job.seconds + _MARGIN_S)
    finally:
        for group in groups:
            group.close()
    for group in groups:
        group.outcome.seconds = job.seconds
        group.outcome.unanswered += group.waiting
    return [group.outcome for group in groups]


@dataclass(slots=True)
class _Arrivals:
    """Requests on their way in an open loop, and what became of the others."""

    outcome: Outcome = field(default_factory=Outcome)
    by_id: dict[bytes, int] = field(default_factory=dict)
    by_connection: dict[Connection, int] = field(default_factory=dict)
    free: list[Connection] = field(default_factory=list)

    def take_by_id(self, _connection: Connection, good: bool, body: bytes) -> None:  # noqa: FBT001
        at = body.find(b'"id":"') + 6
        self._count(self.by_id.pop(body[at : at + _ID_DIGITS], None), good, body)

    def take_by_connection(self, connection: Connection, good: bool, body: bytes) -> None:  # noqa: FBT001
        self._count(self.by_connection.pop(connection, None), good, body)
        self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        self.by_connection.pop(connection, None)
        if connection in self.free:
            self.free.remove(connection)
        self.outcome.failed += 1

    def _count(self, due_ns: int | None, good: bool, body: bytes) -> None:  # noqa: FBT001
        if due_ns is None:
            return
        now_ns = _now_ns()
        if good:
            self.outcome.took_ns.append(now_ns - due_ns)
            self.outcome.ended_ns.append(now_ns)
        else:
            self.outcome.refused_ns.append(now_ns - due_ns)
            self.outcome.first_refusal = self.outcome.first_refusal or _text(body)


async def run_open(job: OpenLoop) -> list[Outcome]:
    """Send at Poisson times; latencies count from the time a request was due."""
    arrivals = _Arrivals()
    by_id = job.id_at >= 0
    kind = connection_class(job.endpoint.transport)
    take = arrivals.take_by_id if by_id else arrivals.take_by_connection
    connections = [
        await kind.open(job.endpoint, take, arrivals.lost) for _ in range(job.connections)
    ]
    arrivals.free.extend(connections)
    try:
        number = 0
        for due_ns in _poisson(job):
            await _until(due_ns)
            number += 1
            if by_id:
                request_id = b"%0*d" % (_ID_DIGITS, number)
                connection = connections[number % len(connections)]
                arrivals.by_id[request_id] = due_ns
                end = job.id_at + _ID_DIGITS
                request = job.request[: job.id_at] + request_id + job.request[end:]
                connection.send(connection.wrap(request))
                continue
            if not arrivals.free:
                if len(connections) >= _MAX_CONNECTIONS:
                    arrivals.outcome.unanswered += 1
                    continue
                connections.append(await kind.open(job.endpoint, take, arrivals.lost))
                arrivals.free.append(connections[-1])
            connection = arrivals.free.pop()
            arrivals.by_connection[connection] = due_ns
            connection.send(connection.wrap(job.request))
        await _wait_for_rest(arrivals, job.grace_s)
    finally:
        for connection in connections:
            connection.close()
    outcome = arrivals.outcome
    outcome.unanswered += len(arrivals.by_id) + len(arrivals.by_connection)
    outcome.seconds = job.seconds
    return [outcome]


async def _wait_for_rest(arrivals: _Arrivals, grace_s: float) -> None:
    until_ns = _now_ns() + int(grace_s * 1e9)
    while (arrivals.by_id or arrivals.by_connection) and _now_ns() < until_ns:  # noqa: ASYNC110 - an event costs more
        await asyncio.sleep(0.01)


def _poisson(job: OpenLoop) -> list[int]:
    """Return when requests are due, on the monotonic clock."""
    chance = random.Random(job.seed)
    start_ns = _now_ns() + 1_000_000
    due_s = 0.0
    due: list[int] = []
    while (due_s := due_s + chance.expovariate(job.rate_per_s)) < job.seconds:
        due.append(start_ns + int(due_s * 1e9))
    return due


async def _until(due_ns: int) -> None:
    if (left_ns := due_ns - _now_ns()) > 0:
        # Loops round timers to a millisecond; to spin for less would take a server's core.
        await asyncio.sleep(max(left_ns / 1e9, 0.001))


async def run_edge_clients(job: EdgeClients) -> list[Outcome]:
    """Run closed-loop `EdgeClient`s, what an application would use."""
    from edgeconsole.client import EdgeClient
    from edgeconsole.errors import EdgeConsoleError

    outcome = Outcome(seconds=job.seconds)
    inputs = {job.input_name: np.full(job.shape, 0.5, np.float32)}
    from_ns = _now_ns() + int(job.warm_s * 1e9)
    until_ns = from_ns + int(job.seconds * 1e9)

    async def one_client() -> None:
        url = f"ws://127.0.0.1:{job.endpoint.port}"
        async with EdgeClient(url, token=job.endpoint.token) as client:
            while (sent_ns := _now_ns()) < until_ns:
                try:
                    await client.infer(job.model, inputs)
                except EdgeConsoleError as error:
                    outcome.failed += 1
                    outcome.first_refusal = outcome.first_refusal or str(error)
                    await asyncio.sleep(_RETRY_S)
                    continue
                ended_ns = _now_ns()
                if from_ns <= ended_ns < until_ns:
                    outcome.took_ns.append(ended_ns - sent_ns)
                    outcome.ended_ns.append(ended_ns)

    async with asyncio.timeout(job.warm_s + job.seconds + _MARGIN_S), asyncio.TaskGroup() as group:
        for _ in range(job.clients):
            group.create_task(one_client())
    return [outcome]


def _text(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
