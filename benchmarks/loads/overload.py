"""Open-loop overload: more requests than can be answered, each with a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Bench, awake
from benchmarks.jobs import ClosedLoop, Group, OpenLoop, Outcome
from benchmarks.measure import Metric
from benchmarks.report import Row, Table
from benchmarks.systems import (
    AGENT,
    REQUEST_ID,
    Server,
    agent_request,
    start_agent,
    wait_until_idle,
)

NAME: Final = "overload"
DEADLINE_MS: Final = 100
_WAY_MS: Final = 2
"""What the client keeps of the deadline for the way there and back."""
_FACTOR: Final = 1.5
_CAPACITY_CLIENTS: Final = 32
_CONNECTIONS: Final = 16
_GRACE_S: Final = 1.0
SHARE: Final = "of capacity in time"


@dataclass(frozen=True, slots=True)
class _Round:
    capacity_per_s: float
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
    servers = [start_agent(bench.processes, bench.folder / "overload", (model,))]
    peers, rows = bench.start_peers(model, timeout_ms=DEADLINE_MS - _WAY_MS)
    servers += peers
    with bench.running(servers, model):
        bench.say("overload: measuring")
        limited = agent_request(model, deadline_ms=DEADLINE_MS - _WAY_MS)
        results = bench.interleave(
            {
                server.label: lambda server=server: _round(bench, server, limited)  # type: ignore[misc]
                for server in servers
            }
        )
    measured = [Row(name, {"model": model.name}, _metrics(each)) for name, each in results.items()]
    remark = (
        f"Poisson arrivals at {_FACTOR} × the rate that each system answered {_CAPACITY_CLIENTS} "
        f"closed-loop clients at just before (seed {bench.settings.seed}); deadline {DEADLINE_MS} ms on "
        f"the client's clock, of which the server was told {DEADLINE_MS - _WAY_MS} ms. Latencies count "
        "from the time a request was due. Late answers and requests never answered are of all rounds."
    )
    return Table(NAME, f"Overload at {_FACTOR} × capacity", (*measured, *rows), (remark,))


def _round(bench: Bench, server: Server, limited: bytes) -> _Round:
    settings = bench.settings
    with awake(server):
        clients = Group(server.endpoint, server.request, _CAPACITY_CLIENTS)
        (before,) = bench.clients.ask(
            ClosedLoop((clients,), settings.warm_s, bench.seconds(bench.large))
        )
        is_agent = server.name == AGENT
        request = limited if is_agent else server.request
        job = OpenLoop(
            server.endpoint,
            request,
            id_at=request.index(REQUEST_ID.encode()) if is_agent else -1,
            rate_per_s=max(1.0, _FACTOR * before.rate_per_s),
            seconds=settings.overload_s,
            connections=_CONNECTIONS,
            grace_s=_GRACE_S,
            seed=settings.seed,
        )
        (outcome,) = bench.clients.ask(job)
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
        metrics["refused p50"] = Metric.pooled(refused, 0.50, "ms")
        metrics["refused p99"] = Metric.pooled(refused, 0.99, "ms")
    lost = [float(each.outcome.unanswered + each.outcome.failed) for each in rounds]
    metrics["late"] = Metric.total([float(each.late) for each in rounds], "")
    metrics["never answered"] = Metric.total(lost, "")
    return metrics
