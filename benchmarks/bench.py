"""What every load is given: settings, models, client processes, and how rounds are interleaved."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.jobs import Outcome
from benchmarks.measure import Metric
from benchmarks.models import BenchModel
from benchmarks.peers import Peer
from benchmarks.process import BenchError, Driver, Processes
from benchmarks.report import Row
from benchmarks.systems import Server, check_answer, start_peer, wait_until_idle

PEER_TIMEOUT_MS: Final = 30_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often is measured."""

    rounds: int = 5
    seconds: float = 1.0
    """How long one system is measured in one round."""
    large_seconds: float = 1.5
    """The same for the large model, whose answers come in batches that take long."""
    warm_s: float = 0.3
    clients: tuple[int, ...] = (1, 8, 32)
    starts: int = 5
    overload_s: float = 6.0
    capacity_s: float = 3.0
    """How long a system shows its capacity before; short looks would count batches, not answers."""
    swap_s: float = 8.0
    settle_s: float = 3.0
    """How long a server is idle before its memory is read."""
    seed: int = 1


QUICK: Final = Settings(
    rounds=2,
    seconds=0.2,
    large_seconds=0.4,
    warm_s=0.1,
    clients=(1, 32),
    starts=2,
    overload_s=1.0,
    capacity_s=1.0,
    swap_s=3.0,
    settle_s=1.0,
)


@dataclass
class Bench:
    """One run's things."""

    settings: Settings
    folder: Path
    processes: Processes
    clients: Driver
    """Puts load on servers."""
    bare: Driver
    """Calls models in its own process."""
    small: BenchModel
    large: BenchModel
    peers: list[Peer]
    peers_python: str
    peer_versions: dict[str, str]

    @property
    def models(self) -> tuple[BenchModel, ...]:
        """Both models, or the one that stands for both."""
        return (self.small,) if self.small == self.large else (self.small, self.large)

    def seconds(self, model: BenchModel) -> float:
        """Return how long a model is measured in one round."""
        is_small = model == self.small
        return self.settings.seconds if is_small else self.settings.large_seconds

    def installed_peers(self) -> list[Peer]:
        """Return the peers that can be started."""
        return [peer for peer in self.peers if self.peer_versions[peer.name]]

    def absent_rows(self) -> list[Row]:
        """Return a row for each peer that cannot be measured."""
        return [
            Row(system=name, note="not installed")
            for name, version in self.peer_versions.items()
            if not version
        ]

    def say(self, text: str) -> None:
        """Tell how far the run is."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def running(self, servers: Sequence[Server], model: BenchModel) -> Iterator[None]:
        """Check that servers answer rightly, keep them stopped until measured, end them after."""
        try:
            for server in servers:
                server.tree.resume()
                wait_until_idle(server)
                check_answer(server, model)
                server.tree.pause()
            yield
        finally:
            # Some take all the time they are given: they take it side by side.
            for server in servers:
                server.tree.ask_to_end()
            for server in servers:
                self.processes.end(server.tree)

    def start_peers(
        self,
        model: BenchModel,
        *,
        workers: Sequence[int] = (1,),
        timeout_ms: int = PEER_TIMEOUT_MS,
    ) -> tuple[list[Server], list[Row]]:
        """Start every installed peer in every mode; returns rows for those that do not start."""
        servers: list[Server] = []
        rows = self.absent_rows()
        for peer in self.installed_peers():
            for mode in peer.modes(workers):
                try:
                    server = start_peer(
                        self.processes,
                        peer,
                        model,
                        python=self.peers_python,
                        mode=mode,
                        timeout_ms=timeout_ms,
                    )
                except BenchError as error:
                    self.say(f"  {peer.name}, {mode.label}: {error}")
                    rows.append(Row(system=f"{peer.name}, {mode.label}", note="does not start"))
                    continue
                servers.append(server)
                server.tree.pause()
        return servers, rows

    def interleave(self, measured: Mapping[str, Callable[[], _T]]) -> dict[str, list[_T]]:
        """Measure each thing once a round; returns each one's rounds."""
        return interleaved(measured, self.settings.rounds)


def interleaved(measured: Mapping[str, Callable[[], _T]], rounds: int) -> dict[str, list[_T]]:
    """Measure each thing once a round, A B C, then C B A, so that drift favours none."""
    results: dict[str, list[_T]] = {name: [] for name in measured}
    order = list(measured.items())
    for _ in range(rounds):
        for name, measure in order:
            results[name].append(measure())
        order.reverse()
    return results


def worker_counts(agents: Sequence[Server]) -> list[int]:
    """Return the numbers of workers that peers run with: those of our agent, and one and two."""
    return sorted({1, 2, *(agent.workers for agent in agents)})


def shared_cores() -> str:
    """Say what all processes of a measurement share, for a table's remark."""
    return (
        f"The client, our supervisor, the peers' fronts and all workers share this machine's "
        f"{os.cpu_count()} cores."
    )


@contextmanager
def awake(server: Server) -> Iterator[Server]:
    """Let a server run for as long as it is measured."""
    server.tree.resume()
    try:
        yield server
    finally:
        server.tree.pause()


def latency_metrics(rounds: Sequence[Sequence[int]], prefix: str = "") -> dict[str, Metric]:
    """Return p50 and p99 of raw latencies in µs; empty if there are none."""
    in_us = [[took_ns / 1e3 for took_ns in samples] for samples in rounds]
    if not any(in_us):
        return {}
    return {
        f"{prefix}p50": Metric.pooled(in_us, 0.50, "µs"),
        f"{prefix}p99": Metric.pooled(in_us, 0.99, "µs"),
    }


def outcome_metrics(rounds: Sequence[Outcome]) -> dict[str, Metric]:
    """Return rate, p50 and p99 of one group's rounds."""
    metrics = {"rate": Metric.of([each.rate_per_s for each in rounds], "1/s")}
    return metrics | latency_metrics([each.took_ns for each in rounds])


def trouble(rounds: Sequence[Outcome]) -> str:
    """Say what went wrong in a load that should have gone well; empty if nothing did."""
    refused = sum(len(each.refused_ns) for each in rounds)
    failed = sum(each.failed + each.unanswered for each in rounds)
    if not refused and not failed:
        return ""
    why = next((each.first_refusal for each in rounds if each.first_refusal), "")
    return f"{refused} refused, {failed} failed: {why[:120]}"
