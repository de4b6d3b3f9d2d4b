"""What idle servers keep of memory."""

from __future__ import annotations

import time
from typing import Final

import psutil

from benchmarks.bench import Bench
from benchmarks.measure import Metric
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, Server, start_agent

NAME: Final = "memory"
SUPERVISOR: Final = f"{AGENT}, supervisor"
WORKER: Final = f"{AGENT}, worker"


def run(bench: Bench) -> Table:
    """Read the memory of servers that answered once and then were left alone."""
    bench.say("memory: starting servers")
    model = bench.small
    agent = start_agent(bench.processes, bench.folder / "memory", (model,))
    peers, absent = bench.start_peers(model)
    rows: list[Row] = []
    with bench.running([agent, *peers], model):
        agent.tree.resume()
        time.sleep(bench.settings.settle_s)
        supervisor, *workers = agent.tree.members()
        rows.append(Row(SUPERVISOR, {"processes": "1"}, _metrics([supervisor])))
        rows += [Row(WORKER, {"processes": "1"}, _metrics([worker])) for worker in workers]
        rows += [_peer_row(peer) for peer in peers]
    remark = (
        "USS is what ending the process would free, PSS shares common pages out, RSS counts them for "
        "every process. The targets are on USS."
    )
    return Table(NAME, f"Idle memory, {model.name} loaded", (*rows, *absent), (remark,))


def _peer_row(server: Server) -> Row:
    server.tree.resume()
    members = server.tree.members()
    return Row(server.label, {"processes": str(len(members))}, _metrics(members))


def _metrics(members: list[psutil.Process]) -> dict[str, Metric]:
    infos = [member.memory_full_info() for member in members]
    return {
        key: Metric.of([sum(getattr(info, key.lower()) for info in infos) / 2**20], "MiB")
        for key in ("USS", "PSS", "RSS")
    }
