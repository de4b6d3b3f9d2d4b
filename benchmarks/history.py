"""What a thousand devices cost the console, and how long charts take: `make bench-history`.

    python -m benchmarks.history [--devices 1000] [--seconds 90]

The devices are one other program, each with a connection of its own over loopback: a sample a second,
and minutes on demand. The console's share of a core is its whole process time, threads included: frames
in, live store, history, rollups, backlog. Charts are read from a history of a day of all devices.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from benchmarks.history_devices import busy_sample
from benchmarks.machine import describe
from edgeconsole.fleet import database, past, upkeep
from edgeconsole.fleet.history import History
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.late import put_minutes
from edgeconsole.fleet.past import Resolution
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import LinkState
from edgeconsole.protocol.figures import figures_of
from edgeconsole.protocol.rollups import MINUTE_S, Rollup, fold

_ROUNDS: Final = 9
_DAY_S: Final = 86_400
_START: Final = 1_750_032_000
_MOST_SHARE: Final = 0.20
_MOST_DAY_MS: Final = 100.0
_MOST_HOUR_MS: Final = 300.0


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=90.0, help="measured, after a warm-up")
    options = parser.parse_args()
    machine = describe()
    print("# History benchmark\n")
    print(f"- machine: {machine.cpu}, {machine.cores} cores; {machine.kernel}, {machine.python}")
    print(f"- {options.devices} devices, one sample a second each\n")
    print("| | measured | target |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        _print_ingest(asyncio.run(ingest(Path(folder), options.devices, options.seconds)))
        _print_charts(Path(folder) / "day.db", options.devices)
    return 0


def _row(what: str, value: str, target: str = "") -> None:
    print(f"| {what} | {value} | {target} |", flush=True)


class Ingest:
    """What was measured while the devices talked."""

    def __init__(self) -> None:
        self.share = 0.0
        self.samples_per_s = 0.0
        self.bytes_per_sample = 0.0
        self.rss_mib = 0.0
        self.problem = ""


async def ingest(folder: Path, devices: int, seconds: float) -> Ingest:
    """Follow devices over real connections and measure the process."""
    measured = Ingest()
    module = [sys.executable, "-m", "benchmarks.history_devices"]
    with subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, before the loop has work
        module, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        async with FleetService(load_inventory(_fleet_file(folder, devices, port))) as service:
            while not all(  # noqa: ASYNC110 - the store is looked at, as a screen does
                each.link is LinkState.LIVE for each in service.store.devices()
            ):
                await asyncio.sleep(0.5)
            await asyncio.sleep(15.0)
            await service.history.flush()
            rows, cpu_s, at_s = await service.history.rows(), time.process_time(), time.monotonic()
            await asyncio.sleep(seconds)
            took_s = time.monotonic() - at_s
            measured.share = (time.process_time() - cpu_s) / took_s
            await service.history.flush()
            kept = await service.history.rows()
            measured.samples_per_s = (kept - rows) / took_s
            measured.problem = service.problem
        measured.rss_mib = psutil.Process().memory_info().rss / 2**20
        measured.bytes_per_sample = _bytes_per_sample(folder / "history.db")
        program.terminate()
    return measured


def _fleet_file(folder: Path, devices: int, port: int) -> Path:
    (folder / "token").write_text("t" * 43)
    entries = "\n".join(
        f'[[devices]]\nid = "device-{number:04}"\nurl = "ws://127.0.0.1:{port}"\n'
        'token_file = "token"'
        for number in range(devices)
    )
    file = folder / "fleet.toml"
    file.write_text(f'history = "history.db"\n{entries}\n')
    return file


def _bytes_per_sample(file: Path) -> float:
    with database.reading(file) as connection:
        (pages,) = connection.execute(
            "SELECT sum(pgsize) FROM dbstat WHERE name = 'sample'"
        ).fetchone()
        (rows,) = connection.execute("SELECT count(*) FROM sample").fetchone()
    return float(pages / rows)


def _print_ingest(measured: Ingest) -> None:
    _row("console, ingest and history", f"{measured.share:.1%} of a core", f"≤ {_MOST_SHARE:.0%}")
    _row("samples written", f"{measured.samples_per_s:,.0f}/s")
    _row("a sample on disk", f"{measured.bytes_per_sample:.0f} bytes")
    _row("console, memory", f"{measured.rss_mib:.0f} MiB")
    _row("problems", measured.problem or "none")


def _print_charts(file: Path, devices: int) -> None:
    """Fill a day of minutes of all devices, and time what charts ask for."""
    database.make(file)
    names = [f"device-{number:04}" for number in range(devices)]
    chance = random.Random(1)
    samples = [figures_of(busy_sample("boot", n, _START + n, chance)) for n in range(60)]
    rollup = fold(samples)
    began_s = time.perf_counter()
    for name in names:
        _fill_day(file, name, rollup)
    _row(f"{devices * 1440:,} minutes written", f"{time.perf_counter() - began_s:.1f} s")
    began_s = time.process_time()
    minutes = 0
    while minutes < 60 and upkeep.sum_up(file, "fleet", names, _START + 2.0 * _DAY_S):
        minutes += upkeep.MINUTES_AT_ONCE
    took_ms = (time.process_time() - began_s) * 1e3
    _row("hours and the fleet summed up, CPU", f"{took_ms / 60:.1f} ms a minute of the fleet")
    day = (_START, _START + _DAY_S)
    hour = (_START, _START + 3600)

    def device_day() -> object:
        return past.points(file, names[devices // 2], day, Resolution.MINUTE, 0.0)

    def fleet_hour() -> object:
        return past.fleet_table(file, "fleet", hour)

    _row("a day of one device", f"{_median_ms(device_day):.1f} ms", f"< {_MOST_DAY_MS:.0f} ms")
    _row("an hour of the fleet", f"{_median_ms(fleet_hour):.1f} ms", f"< {_MOST_HOUR_MS:.0f} ms")
    asyncio.run(_raw_hour(file, names[0], chance))

    def raw_hour() -> object:
        return past.points(file, names[0], hour, Resolution.RAW, 0.0)

    _row("an hour of one device, samples", f"{_median_ms(raw_hour):.1f} ms")


def _fill_day(file: Path, name: str, rollup: Rollup) -> None:
    with database.transaction(file, durable=False) as connection:
        put_minutes(
            connection,
            [(name, _START + minute * MINUTE_S, rollup) for minute in range(1440)],
        )


async def _raw_hour(file: Path, name: str, chance: random.Random) -> None:
    history = History(file)
    await history.open()
    for second in range(3600):
        history.add_sample(name, busy_sample("boot", second, _START + second, chance))
    await history.close()


def _median_ms(work: Callable[[], object]) -> float:
    took: list[float] = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        assert work()
        took.append((time.perf_counter() - began_s) * 1e3)
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(main())
