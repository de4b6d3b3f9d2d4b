"""From the start of a server's process to its first answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from benchmarks.bench import PEER_TIMEOUT_MS, Bench, interleaved
from benchmarks.measure import Metric
from benchmarks.peers import Mode, Peer
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
            mode=Mode(peer.batchings[0]),
            timeout_ms=PEER_TIMEOUT_MS,
        )

    def timed(name: str, start: Callable[[], Server]) -> float | None:
        try:
            server = start()
        except BenchError as error:
            bench.say(f"  {name}: {error}")
            return None
        bench.processes.end(server.tree)
        return server.first_answer_s

    starts: dict[str, Callable[[], Server]] = {AGENT: agent}
    starts |= {peer.name: partial(peer_server, peer) for peer in bench.installed_peers()}
    bench.processes.end(agent().tree)
    measured = {name: partial(timed, name, start) for name, start in starts.items()}
    rows: list[Row] = []
    for name, tries in interleaved(measured, bench.settings.starts).items():
        took_s = [each for each in tries if each is not None]
        if took_s:
            rows.append(Row(name, {"model": model.name}, {TOOK: Metric.of(took_s, "s")}))
        else:
            rows.append(Row(name, note="does not start"))
    return Table(NAME, "Start", (*rows, *bench.absent_rows()))
