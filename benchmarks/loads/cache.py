"""Cache hits: the same request again and again, with the agent's cache allowed."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench, awake, outcome_metrics, shared_cores, trouble
from benchmarks.jobs import ClosedLoop, Group, Outcome
from benchmarks.report import Row, Table
from benchmarks.systems import (
    AGENT,
    Server,
    agent_request,
    cache_is_supported,
    is_cached,
    start_agent,
    start_echo,
)

NAME: Final = "cache"
HITS: Final = f"{AGENT}, cache hits"
MISSES: Final = f"{AGENT}, cache off"
_CACHE_MB: Final = 16


def run(bench: Bench) -> Table:
    """Measure a lone client whose answers come from the cache, beside the raw echo."""
    title = "Cache hits"
    if not cache_is_supported():
        return Table(NAME, title, (Row(HITS, note="not supported"),))
    rows: list[Row] = []
    for model in bench.models:
        bench.say(f"cache: {model.name}")
        echo = start_echo(bench.processes, model)
        home = bench.folder / f"cache-{model.name}"
        agent = start_agent(
            bench.processes,
            home,
            (model,),
            serving=f"cache_mb = {_CACHE_MB}",
            model_options="cache = true\n",
        )
        requests = {
            echo.name: (echo, echo.request),
            HITS: (agent, agent_request(model, cache=True)),
            MISSES: (agent, agent_request(model, cache=False)),
        }
        hits = is_cached(agent, requests[HITS][1])
        with bench.running([echo, agent], model):
            results = bench.interleave(
                {
                    name: lambda pair=pair: _load(bench, *pair)  # type: ignore[misc]
                    for name, pair in requests.items()
                }
            )
        for name, rounds in results.items():
            if name == HITS and not hits:
                rows.append(Row(name, {"model": model.name}, note="the agent does not cache it"))
                continue
            note = trouble(rounds)
            rows.append(Row(name, {"model": model.name}, outcome_metrics(rounds), note))
    return Table(NAME, title, tuple(rows), (shared_cores(),))


def _load(bench: Bench, server: Server, request: bytes) -> Outcome:
    groups = (Group(server.endpoint, request, 1),)
    with awake(server):
        job = ClosedLoop(groups, bench.settings.warm_s, bench.settings.seconds)
        return bench.clients.ask(job)[0]
