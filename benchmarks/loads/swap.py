"""A model is swapped for another version while clients are busy with it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.bench import Bench, latency_metrics, shared_cores
from benchmarks.jobs import ClosedLoop, Group, Outcome
from benchmarks.measure import Metric
from benchmarks.models import NEXT_VERSION, next_version
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, Server, start_agent
from edgeconsole.fleet.control import LOAD_TIMEOUT_S, ControlLink
from edgeconsole.protocol.control import ActivateModel

NAME: Final = "swap"
FAILED: Final = "failed"
BEFORE: Final = "before p99"
DURING: Final = "during p99"
_CLIENTS: Final = 8
_SWAPS: Final = 2
"""To the other version and back, each round."""


@dataclass(frozen=True, slots=True)
class _Round:
    outcome: Outcome
    swaps: list[tuple[int, int]]
    """When each began and ended."""


def run(bench: Bench) -> Table:
    """Swap to another version and back under load; count what fails, and how late answers get."""
    bench.say("swap: starting the agent")
    model, settings = bench.large, bench.settings
    home = bench.folder / "swap"
    other = replace(model, bundle=next_version(model, bench.folder / "swap-bundle"))
    # The other version gets into the agent's store by being configured once.
    bench.processes.end(start_agent(bench.processes, home, (other,)).tree)
    agent = start_agent(bench.processes, home, (model,))
    agent.tree.settle()
    bench.say("swap: measuring")
    try:
        rounds = [_round(bench, agent) for _ in range(settings.rounds)]
    finally:
        bench.processes.end(agent.tree)
    row = Row(AGENT, {"model": model.name, "clients": str(_CLIENTS)}, _metrics(rounds))
    count = sum(len(each.swaps) for each in rounds)
    why = next((each.outcome.first_refusal for each in rounds if each.outcome.first_refusal), "")
    remark = f"{count} swaps; “during” is from the command to its reply. {shared_cores()}"
    return Table(
        NAME, "Swap under load", (row,), (remark + (f" First refusal: {why}" if why else ""),)
    )


def _round(bench: Bench, agent: Server) -> _Round:
    settings = bench.settings
    group = Group(agent.endpoint, agent.request, _CLIENTS)
    bench.clients.begin(ClosedLoop((group,), settings.warm_s, settings.swap_s))
    time.sleep(settings.warm_s + settings.swap_s / 4)
    swaps = asyncio.run(_swap(agent, bench.large.name, settings.swap_s / 4))
    (outcome,) = bench.clients.finish()
    return _Round(outcome, swaps)


def _metrics(rounds: list[_Round]) -> dict[str, Metric]:
    parts = [_split(each.outcome, each.swaps) for each in rounds]
    outcomes = [each.outcome for each in rounds]
    took_s = [(ended - began) / 1e9 for each in rounds for began, ended in each.swaps]
    lost = [each.failed + each.unanswered + len(each.refused_ns) for each in outcomes]
    longest_ms = [max(each.took_ns, default=0) / 1e6 for each in outcomes]
    metrics = latency_metrics([before for before, _ in parts], "before ")
    metrics |= latency_metrics([during for _, during in parts], "during ")
    return metrics | {
        "longest answer": Metric.of(longest_ms, "ms"),
        "a swap took": Metric.of(took_s, "s"),
        "answered": Metric.total([float(len(each.took_ns)) for each in outcomes], ""),
        FAILED: Metric.total([float(each) for each in lost], ""),
    }


async def _swap(agent: Server, model: str, pause_s: float) -> list[tuple[int, int]]:
    """Activate the other version and the first again; returns when each swap began and ended."""
    swaps: list[tuple[int, int]] = []
    url = f"ws://127.0.0.1:{agent.endpoint.port}"
    async with ControlLink(url, agent.endpoint.token) as link:
        await link.hello()
        for version in (NEXT_VERSION, "1")[:_SWAPS]:
            began_ns = time.perf_counter_ns()
            command = ActivateModel(id=link.next_id(), model=model, version=version)
            await link.ask(command, LOAD_TIMEOUT_S)
            swaps.append((began_ns, time.perf_counter_ns()))
            await asyncio.sleep(pause_s / _SWAPS)
    return swaps


def _split(outcome: Outcome, swaps: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Part latencies into those before the first swap and those that ended during one."""
    before: list[int] = []
    during: list[int] = []
    for took_ns, ended_ns in zip(outcome.took_ns, outcome.ended_ns, strict=True):
        if ended_ns < swaps[0][0]:
            before.append(took_ns)
        elif any(began_ns <= ended_ns <= done_ns for began_ns, done_ns in swaps):
            during.append(took_ns)
    return before, during
