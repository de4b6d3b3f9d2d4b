"""A model is swapped for another version while clients are busy with it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from benchmarks.bench import Bench, latency_metrics
from benchmarks.jobs import ClosedLoop, Group, Outcome
from benchmarks.measure import Metric
from benchmarks.models import NEXT_VERSION, next_version
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, Server, start_agent
from edgeconsole.fleet.control import LOAD_TIMEOUT_S, ControlLink
from edgeconsole.protocol.control import ActivateModel

NAME: Final = "swap"
FAILED: Final = "failed"
_CLIENTS: Final = 8
_SWAPS: Final = 2
"""To the other version and back."""


def run(bench: Bench) -> Table:
    """Swap to another version and back under load; count what fails, and how late answers get."""
    bench.say("swap: starting the agent")
    model, settings = bench.large, bench.settings
    home = bench.folder / "swap"
    other = replace(model, bundle=next_version(model, bench.folder / "swap-bundle"))
    # The other version gets into the agent's store by being configured once.
    bench.processes.end(start_agent(bench.processes, home, (other,)).tree)
    agent = start_agent(bench.processes, home, (model,))
    group = Group(agent.endpoint, agent.request, _CLIENTS)
    bench.say("swap: measuring")
    try:
        bench.clients.begin(ClosedLoop((group,), settings.warm_s, settings.swap_s))
        time.sleep(settings.warm_s + settings.swap_s / 4)
        swaps = asyncio.run(_swap(agent, model.name, settings.swap_s / 4))
        (outcome,) = bench.clients.finish()
    finally:
        bench.processes.end(agent.tree)
    before, during = _split(outcome, swaps)
    took_s = [(ended_ns - began_ns) / 1e9 for began_ns, ended_ns in swaps]
    lost = outcome.failed + outcome.unanswered + len(outcome.refused_ns)
    metrics = latency_metrics([before], "before ") | latency_metrics([during], "during ")
    metrics |= {
        "longest answer": Metric.of([max(outcome.took_ns, default=0) / 1e6], "ms"),
        "a swap took": Metric.of(took_s, "s"),
        "answered": Metric.of([float(len(outcome.took_ns))], ""),
        FAILED: Metric.of([float(lost)], ""),
    }
    row = Row(AGENT, {"model": model.name, "clients": str(_CLIENTS)}, metrics)
    remarks = (f"{len(swaps)} swaps; “during” is from the command to its reply. {_why(outcome)}",)
    return Table(NAME, "Swap under load", (row,), remarks)


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


def _why(outcome: Outcome) -> str:
    return f"First refusal: {outcome.first_refusal}" if outcome.first_refusal else ""
