"""Closed-loop clients: each waits for its answer before it asks again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import (
    Bench,
    awake,
    latency_metrics,
    outcome_metrics,
    shared_cores,
    trouble,
    worker_counts,
)
from benchmarks.jobs import Bare, ClosedLoop, EdgeClients, Group, Outcome
from benchmarks.measure import Metric
from benchmarks.models import BenchModel
from benchmarks.peers import MAX_BATCH
from benchmarks.process import BenchError
from benchmarks.report import Row, Table
from benchmarks.systems import AGENT, AGENT_ONE, Server, start_agents, start_echo

NAME: Final = "closed"
BARE: Final = "bare call, onnxruntime"
TORCH: Final = "bare call, torch eager"
IDEAL: Final = "bare call, best batch"
EDGE_CLIENT: Final = f"{AGENT}, through EdgeClient"
CPU: Final = "server CPU"
WORKER_CPU: Final = "of it not in the front"


def run(bench: Bench) -> Table:
    """Measure all systems with 1, 8 and 32 clients, for both models."""
    rows: list[Row] = []
    for model in bench.models:
        bench.say(f"closed loop, {model.name}: starting servers")
        agents = start_agents(bench.processes, bench.folder / f"closed-{model.name}", model)
        peers, absent = bench.start_peers(model, workers=worker_counts(agents))
        servers = [start_echo(bench.processes, model), *agents, *peers]
        with bench.running(servers, model):
            floors, missing = _floors(bench, model)
            rows += missing
            for clients in bench.settings.clients:
                bench.say(f"closed loop, {model.name}: {clients} clients")
                rows += _rows(bench, model, servers, floors, clients)
        rows += absent if model == bench.models[-1] else []
    remark = (
        f"The peers' workers run the model on one thread each, as “{AGENT_ONE}” does; “{AGENT}” "
        "chooses workers and threads by itself. The bare calls are one process and one thread, "
        f"measured in the same rounds as the servers; “{IDEAL}” is the batch size with the highest "
        f"rate. {shared_cores()} "
        f"“{CPU}” is CPU time of all the server's processes for each request, “{WORKER_CPU}” the part "
        "outside the process that was started (for our agent: the workers)."
    )
    return Table(NAME, "Closed-loop clients", tuple(rows), (remark,))


@dataclass(frozen=True, slots=True)
class _Floor:
    """A way to call the model without a server, measured in the rounds of `clients` clients."""

    name: str
    measure: Callable[[], Outcome]
    clients: int
    rows_per_call: int = 1


def _floors(bench: Bench, model: BenchModel) -> tuple[list[_Floor], list[Row]]:
    """Return calls in process: alone, with torch, in the best batch; and rows for what is missing."""
    settings = bench.settings
    first, last = settings.clients[0], settings.clients[-1]

    def call(engine: str, batch: int = 1, seconds: float = bench.seconds(model)) -> Outcome:
        name = model.torch_name if engine == "torch" else str(model.onnx)
        shape = (batch, *model.shape[1:])
        return bench.bare.ask(Bare(engine, name, shape, settings.warm_s, seconds))[0]

    look_s = bench.seconds(model) / 2
    sizes = [1 << power for power in range(MAX_BATCH.bit_length())]
    best = max(sizes, key=lambda size: size * call("onnx", size, look_s).rate_per_s)
    floors = [
        _Floor(BARE, lambda: call("onnx"), first),
        _Floor(IDEAL, lambda: call("onnx", best), last, best),
    ]
    if not model.torch_name:
        return floors, []
    try:
        call("torch", seconds=0.01)
    except BenchError as error:
        return floors, [Row(TORCH, {"model": model.name}, note=str(error)[:80])]
    return [*floors, _Floor(TORCH, lambda: call("torch"), first)], []


def _floor_row(floor: _Floor, model: BenchModel, rounds: list[Outcome]) -> Row:
    rates = [floor.rows_per_call * each.rate_per_s for each in rounds]
    metrics = {"rate": Metric.of(rates, "1/s")} | latency_metrics([each.took_ns for each in rounds])
    whole = f"batches of {floor.rows_per_call}; latencies are of whole batches"
    return Row(floor.name, {"model": model.name}, metrics, whole if floor.name == IDEAL else "")


def _rows(
    bench: Bench, model: BenchModel, servers: list[Server], floors: list[_Floor], clients: int
) -> list[Row]:
    """Measure every server, and our own client library, with so many clients."""
    settings, seconds = bench.settings, bench.seconds(model)
    cpu: dict[str, list[tuple[float, float]]] = {}

    def load(server: Server) -> Outcome:
        groups = (Group(server.endpoint, server.request, clients),)
        with awake(server):
            before = server.tree.cpu_s()
            job = ClosedLoop(groups, settings.warm_s, seconds)
            (outcome,) = bench.clients.ask(job)
            used = _used_us(before, server.tree.cpu_s(), server, outcome, settings.warm_s)
            cpu.setdefault(server.label, []).append(used)
        return outcome

    def through_client(server: Server) -> Outcome:
        with awake(server):
            job = EdgeClients(
                server.endpoint,
                model.name,
                model.input_name,
                model.shape,
                clients,
                settings.warm_s,
                seconds,
            )
            return bench.clients.ask(job)[0]

    beside = {floor.name: floor for floor in floors if floor.clients == clients}
    measured = {name: floor.measure for name, floor in beside.items()}
    for server in servers:
        measured[server.label] = lambda server=server: load(server)  # type: ignore[misc]
        if server.label == AGENT:
            measured[EDGE_CLIENT] = lambda server=server: through_client(server)  # type: ignore[misc]
    settings_of = {server.label: server.setting for server in servers}
    rows: list[Row] = []
    for label, rounds in bench.interleave(measured).items():
        if label in beside:
            rows.append(_floor_row(beside[label], model, rounds))
            continue
        metrics = outcome_metrics(rounds)
        if label in cpu:
            metrics[CPU] = Metric.of([total for total, _ in cpu[label]], "µs")
            metrics[WORKER_CPU] = Metric.of([worker for _, worker in cpu[label]], "µs")
        setting = {"model": model.name, "clients": str(clients), **settings_of.get(label, {})}
        rows.append(Row(label, setting, metrics, trouble(rounds)))
    return rows


def _used_us(
    before: dict[int, float],
    after: dict[int, float],
    server: Server,
    outcome: Outcome,
    warm_s: float,
) -> tuple[float, float]:
    """Return CPU time a request: of all processes, and of those below the first; in µs."""
    spent = {pid: used - before.get(pid, 0.0) for pid, used in after.items()}
    # The warm-up's requests are not counted one by one; they came at the same rate.
    requests = outcome.rate_per_s * (outcome.seconds + warm_s)
    if not requests:
        return 0.0, 0.0
    total = sum(spent.values())
    return total / requests * 1e6, (total - spent.get(server.tree.pid, 0.0)) / requests * 1e6
