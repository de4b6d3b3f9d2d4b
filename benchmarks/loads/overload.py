"""Open-loop overload: more requests than can be answered, each with a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.bench import Bench, awake, shared_cores, worker_counts
from benchmarks.jobs import ClosedLoop, Group, OpenLoop, Outcome
from benchmarks.measure import Metric
from benchmarks.report import Row, Table
from benchmarks.systems import (
    AGENT,
    REQUEST_ID,
    Server,
    agent_request,
    start_agents,
    wait_until_idle,
)

NAME: Final = "overload"
DEADLINE_MS: Final = 100
_WAY_MS: Final = 2
"""What the client keeps of the deadline for the way there and back."""
_FACTOR: Final = 1.5
_CAPACITY_CLIENTS: Final = 32
_WARM_CLIENTS: Final = 4
"""So few that none of their requests meets the deadline's end."""
_CONNECTIONS: Final = 16
_GRACE_S: Final = 1.0
SHARE: Final = "of capacity in time"


@dataclass(frozen=True, slots=True)
class _System:
    """One system; a peer, whose deadline is set at its start, is there twice."""

    patient: Server
    """Without a deadline: shows what the system can do."""
    limited: Server
    """With the deadline: gets more than that."""


@dataclass(frozen=True, slots=True)
class _Round:
    capacity_per_s: float
    """What the system answered with no deadline in its way."""
    outcome: Outcome

    @property
    def in_time_per_s(self) -> float:
        limit_ns = DEADLINE_MS * 1_000_000
        in_time = sum(1 for took_ns in self.outcome.took_ns if took_ns <= limit_ns)
        return in_time / self.outcome.seconds

    @property
    def late(self) -> int:
        limit_ns = DEADLINE_MS * 1_000_000
        return sum(1 for took_ns in self.outcome.took_ns if took_ns > limit_ns)


def run(bench: Bench) -> Table:
    """Measure each system at 1.5 times the rate it answers 32 waiting clients at."""
    bench.say("overload: starting servers")
    model = bench.large
    agents = start_agents(bench.processes, bench.folder / "overload", model)
    workers = worker_counts(agents)
    patient, rows = bench.start_peers(model, workers=workers)
    limited, more = bench.start_peers(model, workers=workers, timeout_ms=DEADLINE_MS - _WAY_MS)
    rows += [row for row in more if row not in rows]
    # The agent takes a deadline with each request.
    systems = [_System(agent, agent) for agent in agents] + _pairs(patient, limited)
    with bench.running([*agents, *patient, *limited], model):
        bench.say("overload: measuring")
        request = agent_request(model, deadline_ms=DEADLINE_MS - _WAY_MS)
        results = bench.interleave(
            {system.limited.label: partial(_round, bench, system, request) for system in systems}
        )
    measured = [
        Row(
            system.limited.label,
            {"model": model.name, **system.limited.setting},
            _metrics(results[system.limited.label]),
        )
        for system in systems
    ]
    remark = (
        f"Poisson arrivals at {_FACTOR} × capacity (seed {bench.settings.seed}): the rate at which the "
        f"system answered {_CAPACITY_CLIENTS} closed-loop clients just before, with no deadline. Then "
        f"each request has {DEADLINE_MS} ms on the client's clock, of which the server was told "
        f"{DEADLINE_MS - _WAY_MS} ms; peers are told at their start, so each runs twice. Latencies count "
        "from the time a request was due. Refusals are medians over the rounds' own p50 and p99; what "
        f"is late, refused and never answered is of all rounds. {shared_cores()}"
    )
    return Table(NAME, f"Overload at {_FACTOR} × capacity", (*measured, *rows), (remark,))


def _pairs(patient: list[Server], limited: list[Server]) -> list[_System]:
    """Join the two of each peer; one that did not start both times is left out."""
    by_label = {server.label: server for server in limited}
    return [
        _System(server, by_label[server.label]) for server in patient if server.label in by_label
    ]


def _round(bench: Bench, system: _System, limited: bytes) -> _Round:
    settings = bench.settings
    with awake(system.patient) as server:
        clients = Group(server.endpoint, server.request, _CAPACITY_CLIENTS)
        job = ClosedLoop((clients,), settings.warm_s, settings.capacity_s)
        (before,) = bench.clients.ask(job)
        wait_until_idle(server)
    with awake(system.limited) as server:
        few = Group(server.endpoint, server.request, _WARM_CLIENTS)
        bench.clients.ask(ClosedLoop((few,), 0.0, settings.warm_s))
        is_agent = server.name == AGENT
        request = limited if is_agent else server.request
        overload = OpenLoop(
            server.endpoint,
            request,
            id_at=request.index(REQUEST_ID.encode()) if is_agent else -1,
            rate_per_s=max(1.0, _FACTOR * before.rate_per_s),
            seconds=settings.overload_s,
            connections=_CONNECTIONS,
            grace_s=_GRACE_S,
            seed=settings.seed,
        )
        (outcome,) = bench.clients.ask(overload)
        wait_until_idle(server)
    return _Round(before.rate_per_s, outcome)


def _metrics(rounds: list[_Round]) -> dict[str, Metric]:
    metrics = {
        "capacity": Metric.of([each.capacity_per_s for each in rounds], "1/s"),
        "in time": Metric.of([each.in_time_per_s for each in rounds], "1/s"),
    }
    known = [each for each in rounds if each.capacity_per_s]
    if known:
        shares = [100 * each.in_time_per_s / each.capacity_per_s for each in known]
        metrics[SHARE] = Metric.of(shares, "%")
    answered = [[took / 1e6 for took in each.outcome.took_ns] for each in rounds]
    refused = [[took / 1e6 for took in each.outcome.refused_ns] for each in rounds]
    if any(answered):
        metrics["answered p99"] = Metric.pooled(answered, 0.99, "ms")
    if any(refused):
        metrics["refused p50"] = Metric.each(refused, 0.50, "ms")
        metrics["refused p99"] = Metric.each(refused, 0.99, "ms")
    metrics["refused"] = Metric.total([float(len(each)) for each in refused], "")
    lost = [float(each.outcome.unanswered + each.outcome.failed) for each in rounds]
    metrics["late"] = Metric.total([float(each.late) for each in rounds], "")
    metrics["never answered"] = Metric.total(lost, "")
    return metrics
