"""From the start of a server's process to its first answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks.bench import PEER_TIMEOUT_MS, Bench
from benchmarks.measure import Metric
from benchmarks.peers import Peer
from benchmarks.process import BenchError
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, Server, start_agent, start_peer

NAME: Final = "start"
TOOK: Final = "start → first answer"


def run(bench: Bench) -> Table:
    """Start each system several times; our agent has taken the model in before."""
    bench.say("start: measuring")
    model = bench.small
    home = bench.folder / "start"

    def agent() -> Server:
        return start_agent(bench.processes, home, (model,))

    def peer_server(peer: Peer) -> Server:
        return start_peer(
            bench.processes,
            peer,
            model,
            python=bench.peers_python,
            mode=peer.modes[0],
            timeout_ms=PEER_TIMEOUT_MS,
        )

    starts: dict[str, Callable[[], Server]] = {AGENT: agent}
    starts |= {peer.name: partial(peer_server, peer) for peer in bench.installed_peers()}
    bench.processes.end(agent().tree)
    took_s: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(bench.settings.starts):
        for name, start in starts.items():
            try:
                server = start()
            except BenchError as error:
                bench.say(f"  {name}: {error}")
                continue
            took_s[name].append(server.first_answer_s)
            bench.processes.end(server.tree)
    rows = [
        Row(name, {"model": model.name}, {TOOK: Metric.of(each, "s")})
        if each
        else Row(name, note="does not start")
        for name, each in took_s.items()
    ]
    return Table(NAME, "Start", (*rows, *bench.absent_rows()))
