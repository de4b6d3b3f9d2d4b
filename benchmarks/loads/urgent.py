"""One urgent client among eight busy ones of low priority."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.bench import Bench, awake, latency_metrics, shared_cores, worker_counts
from benchmarks.jobs import Bare, ClosedLoop, Group, Outcome
from benchmarks.measure import Metric
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, Server, agent_request, start_agents

NAME: Final = "urgent"
BARE: Final = "bare call, onnxruntime"
LOW_SHARE: Final = "low class kept"
_BUSY: Final = 8
_LOW: Final = 1
_HIGH: Final = 10
_PAUSE_MS: Final = 40.0
"""The urgent client asks about so often: some tenth of what the large model can answer."""


@dataclass(frozen=True, slots=True)
class _Round:
    urgent: Outcome
    low: Outcome
    alone: Outcome
    """The low class without the urgent client."""


def run(bench: Bench) -> Table:
    """Measure what urgency buys, and what it costs the others; peers know no priorities."""
    bench.say("urgent: starting servers")
    model, settings = bench.large, bench.settings
    seconds = bench.seconds(model)
    agents = start_agents(bench.processes, bench.folder / "urgent", model)
    peers, rows = bench.start_peers(model, workers=worker_counts(agents))
    servers = [*agents, *peers]
    low_request = agent_request(model, priority=_LOW)
    high_request = agent_request(model, priority=_HIGH)

    def measure(server: Server) -> _Round:
        is_agent = server.name == AGENT
        low = Group(server.endpoint, low_request if is_agent else server.request, _BUSY)
        high = Group(
            server.endpoint, high_request if is_agent else server.request, 1, pause_ms=_PAUSE_MS
        )
        with awake(server):
            (alone,) = bench.clients.ask(ClosedLoop((low,), settings.warm_s, seconds))
            job = ClosedLoop((low, high), settings.warm_s, 2 * seconds, settings.seed)
            together, urgent = bench.clients.ask(job)
        return _Round(urgent, together, alone)

    def bare() -> _Round:
        job = Bare("onnx", str(model.onnx), model.shape, settings.warm_s, seconds)
        return _Round(bench.bare.ask(job)[0], Outcome(), Outcome())

    with bench.running(servers, model):
        bench.say("urgent: measuring")
        results = bench.interleave(
            {BARE: bare} | {server.label: partial(measure, server) for server in servers}
        )
    floor = [each.urgent.took_ns for each in results.pop(BARE)]
    measured = [Row(BARE, {}, latency_metrics(floor, "urgent "))]
    measured += [
        Row(server.label, server.setting, _metrics(results[server.label])) for server in servers
    ]
    remark = (
        f"{model.name}: {_BUSY} closed-loop clients of priority {_LOW} and one of priority {_HIGH} that "
        f"pauses {_PAUSE_MS:.0f} ms on average between requests. The peers have no priorities: there "
        f"the urgent client is one more. “{LOW_SHARE}” compares with the same {_BUSY} clients alone. "
        + shared_cores()
    )
    return Table(NAME, "One urgent among busy clients", (*measured, *rows), (remark,))


def _metrics(rounds: list[_Round]) -> dict[str, Metric]:
    share = [100 * each.low.rate_per_s / max(each.alone.rate_per_s, 1e-9) for each in rounds]
    return latency_metrics([each.urgent.took_ns for each in rounds], "urgent ") | {
        "low class": Metric.of([each.low.rate_per_s for each in rounds], "1/s"),
        "low class alone": Metric.of([each.alone.rate_per_s for each in rounds], "1/s"),
        LOW_SHARE: Metric.of(share, "%"),
    }
