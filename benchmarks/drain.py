"""What a device's answers suffer while a console fetches days of telemetry: `make bench-drain`.

    python -m benchmarks.drain [--hours 72] [--rounds 5]

One agent that serves, one program that asks it 50 times a second, and this process as the console, all
on this machine. Each round begins with the same backlog, and its answers are timed without a console first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.history_devices import busy_sample
from benchmarks.machine import describe
from benchmarks.process import BenchError, Processes, Tree, free_port
from edgeconsole.demo.data import bundle_path
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.service import FleetService
from edgeconsole.protocol.figures import Figures, figures_of
from edgeconsole.protocol.telemetry import DeviceSample
from edgeconsole.runtime.offline.backlog import Backlog
from edgeconsole.runtime.offline.minute import Minute, minute_of
from edgeconsole.runtime.offline.room import Limits

QUIET_S: Final = 8.0
EARLIER: Final = "boot-before"
"""The start of the agent that the backlog is from."""
MOST_S: Final = 60.0
"""In which three days must be there."""
_GIVE_UP_S: Final = 150.0
_LOOK_S: Final = 0.25
_START_S: Final = 30.0
_AT_ONCE: Final = 6000

_ASKER: Final = """
import asyncio, json, pathlib, sys, time
from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import load_heldout

async def main(url, token_file):
    image = load_heldout()[0][:1]
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    took = []
    async with EdgeClient(url, token_file=pathlib.Path(token_file)) as client:
        while not over.done():
            began_s = time.perf_counter()
            await client.infer("digits", {"image": image}, deadline_ms=1000)
            took.append((time.perf_counter() - began_s) * 1e3)
            await asyncio.sleep(0.02)
    print(json.dumps(sorted(took)))

asyncio.run(main(*sys.argv[1:]))
"""


class Asker:
    """A program that asks a model again and again: what it waits for is the device, not this process."""

    def __init__(self, url: str, token_file: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _ASKER, url, str(token_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self) -> list[float]:
        """End it; returns how long each answer took, in ms, sorted."""
        out, _ = self._process.communicate("over\n", 30)
        found: list[float] = json.loads(out)
        return found


@dataclass(frozen=True, slots=True)
class Round:
    """What one round showed; times of answers in ms, sorted."""

    took_s: float
    quiet_ms: list[float]
    busy_ms: list[float]
    late_s: float
    """The longest wait for a live sample."""
    missed: int
    """Live samples that never came."""
    agent_cpu_s: float
    console_cpu_s: float


def fill(path: Path, seconds: int) -> None:
    """Write a backlog as an agent would have that ran for so long until now."""
    backlog = Backlog(path, Limits(16 << 20, 30 * 86_400.0, 0))
    backlog.open(EARLIER)
    start = minute_of(time.time()) - seconds
    chance = random.Random(1)
    before: Figures | None = None
    batch: list[Minute] = []
    for number in range(1, seconds + 1):
        if number % 60 == 1:
            batch.append(Minute(number, start + number - 1, before, closed=True))
        before = figures_of(busy_sample(EARLIER, number, start + number - 1, chance))
        batch[-1].add_sample(number, before)
        if number % _AT_ONCE == 0 or number == seconds:
            backlog.write(batch)
            batch = []
    if backlog.fill().thinned_blocks:
        raise BenchError("so many hours do not fit the backlog")
    backlog.close()


def samples_of(path: Path, boot_id: str) -> int:
    """Return how many samples in a history are from a start of an agent."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (found,) = database.execute(
            "SELECT count(*) FROM sample WHERE boot_id = ?", (boot_id,)
        ).fetchone()
    return int(found)


def _is_drained(history: Path) -> bool:
    """Say whether all of the earlier start is written: then the cursor stands in the next one."""
    with contextlib.closing(sqlite3.connect(history)) as database:
        found = database.execute("SELECT boot_id FROM cursor").fetchone()
    return found is not None and found[0] != EARLIER


@contextlib.contextmanager
def device(folder: Path, backlog: Path) -> Iterator[tuple[Tree, str]]:
    """Run an agent with a copy of a backlog; gives its process and its address."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    shutil.copy(backlog, state / "outbox.db")
    port = free_port()
    (folder / "device.toml").write_text(
        f'agent_id = "dev-1"\nstate_dir = "state"\n[server]\nport = {port}\n'
        f'[[models]]\nmodel_id = "digits"\nbundle = "{bundle_path("digits")}"\ndeadline_ms = 1000.0\n'
    )
    command = [sys.executable, "-m", "edgeconsole.runtime.cli", "--config", "device.toml"]
    with Processes(folder) as processes:
        tree = processes.start(command)
        until_s = time.monotonic() + _START_S
        while "state_changed: " not in tree.said():
            if time.monotonic() > until_s or not tree.alive:
                raise BenchError(f"the agent did not start: {tree.last_words()}")
            time.sleep(0.1)
        yield tree, f"ws://127.0.0.1:{port}"


async def one_round(folder: Path, backlog: Path) -> Round:
    """Time answers without and with a console that fetches the whole backlog."""
    with device(folder, backlog) as (agent, url):
        token = folder / "state" / "token"
        asker = Asker(url, token)
        await asyncio.sleep(QUIET_S)
        quiet = await asyncio.to_thread(asker.end)
        file = folder / "fleet.toml"
        file.write_text(
            f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "{url}"\n'
            f'token_file = "{token}"\n[retention]\nraw_hours = 96\n'
        )
        asker = Asker(url, token)
        agent_cpu_s, console_cpu_s = sum(agent.cpu_s().values()), time.process_time()
        took_s, heard = await _drain(file, folder / "h.db")
        agent_cpu_s = sum(agent.cpu_s().values()) - agent_cpu_s
        console_cpu_s = time.process_time() - console_cpu_s
        busy = await asyncio.to_thread(asker.end)
    pairs = list(itertools.pairwise(heard))
    late_s = max((b[0] - a[0] for a, b in pairs), default=0.0)
    missed = sum(max(0, b[1] - a[1] - 1) for a, b in pairs)
    return Round(took_s, quiet, busy, late_s, missed, agent_cpu_s, console_cpu_s)


async def _drain(file: Path, history: Path) -> tuple[float, list[tuple[float, int]]]:
    """Follow the device until all it had is here; returns how long, and when which sample came live."""
    heard: list[tuple[float, int]] = []
    async with FleetService(load_inventory(file)) as service:
        add = service.store.add_sample

        def hear(device_id: str, sample: DeviceSample) -> None:
            heard.append((time.monotonic(), sample.seq))
            add(device_id, sample)

        service.store.add_sample = hear  # type: ignore[method-assign]
        began_s = time.monotonic()
        while not await asyncio.to_thread(_is_drained, history):
            if time.monotonic() - began_s > _GIVE_UP_S:
                raise BenchError(f"not drained in {_GIVE_UP_S:.0f} s {service.problem}")
            await asyncio.sleep(_LOOK_S)
        took_s = time.monotonic() - began_s
        if service.problem:
            raise BenchError(service.problem)
    return took_s, heard


def at(ordered: list[float], share: float) -> float:
    """Return a quantile of sorted times."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    machine = describe()
    print("# Drain benchmark\n")
    print(f"- machine: {machine.cpu}, {machine.cores} cores; {machine.kernel}, {machine.python}")
    print(f"- {options.hours:g} h at one sample a second; one agent, one console\n")
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as root:
        backlog = Path(root) / "outbox.db"
        fill(backlog, round(options.hours * 3600))
        print(
            "| drained in | p50 alone | p50 | p99 alone | p99 | live, longest wait | agent | console |"
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for number in range(options.rounds):
            folder = Path(root) / f"round-{number}"
            folder.mkdir()
            rounds.append(asyncio.run(one_round(folder, backlog)))
            print(row(rounds[-1:]), flush=True)
        print(row(rounds), "medians" if len(rounds) > 1 else "")
    return 0


def row(rounds: list[Round]) -> str:
    """Return rounds as one row of the table: medians, and the worst of what came live."""

    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    cells = (
        f"{median(each.took_s for each in rounds):.1f} s",
        f"{median(at(each.quiet_ms, 0.5) for each in rounds):.2f} ms",
        f"{median(at(each.busy_ms, 0.5) for each in rounds):.2f} ms",
        f"{median(at(each.quiet_ms, 0.99) for each in rounds):.2f} ms",
        f"{median(at(each.busy_ms, 0.99) for each in rounds):.2f} ms",
        f"{max(each.late_s for each in rounds):.2f} s, {sum(each.missed for each in rounds)} missed",
        f"{median(each.agent_cpu_s for each in rounds):.1f} s CPU",
        f"{median(each.console_cpu_s for each in rounds):.1f} s CPU",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
