"""`python -m benchmarks.serving`: measure EdgeConsole's serving beside its peers, in one run."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.bench import QUICK, Bench, Settings
from benchmarks.loads import LOADS
from benchmarks.models import BenchModel, packed_models
from benchmarks.peers import all_peers
from benchmarks.process import ROOT, BenchError, Driver, Processes
from benchmarks.report import Row, RunReport, Table, to_json, to_markdown
from benchmarks.systems import AGENT
from benchmarks.targets import judge

_PACK_TIMEOUT_S = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="edgeconsole-bench-") as name:
            folder = Path(name)
            models = _pack(folder / "models")
            settings = QUICK if options.quick else Settings()
            report = measure(
                models,
                folder,
                settings,
                loads=options.only or list(LOADS),
                peers_python=options.peers_python,
            )
    except BenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted; all processes were ended", file=sys.stderr)
        return 130
    if options.json:
        options.json.write_bytes(to_json(report))
    print(to_markdown(report))
    return 0


def measure(
    models: tuple[BenchModel, BenchModel],
    folder: Path,
    settings: Settings,
    *,
    loads: Sequence[str],
    peers_python: str = sys.executable,
) -> RunReport:
    """Measure loads in a folder for temporary files."""
    small, large = models
    before = machine.load_now()
    peers = all_peers()
    versions = {peer.name: peer.installed_version(peers_python) for peer in peers}
    tables: list[Table] = []
    for name, run in LOADS.items():
        if name not in loads:
            continue
        with Processes(folder) as processes:
            bench = Bench(
                settings=settings,
                folder=folder,
                processes=processes,
                clients=Driver(processes),
                bare=Driver(processes),
                small=small,
                large=large,
                peers=peers,
                peers_python=peers_python,
                peer_versions=versions,
            )
            tables.append(_run(name, run, bench))
    by_name = {table.name: table for table in tables}
    return RunReport(
        machine=machine.describe(),
        before=before,
        after=machine.load_now(),
        settings={
            "rounds": f"{settings.rounds} of {settings.seconds:g} s, seed {settings.seed}",
            "models": " and ".join(f"{model.name} {list(model.shape)}" for model in models),
        },
        peers=versions,
        tables=tuple(tables),
        targets=judge(by_name, small.name, large.name, tuple(versions)),
    )


def _run(name: str, run: Callable[[Bench], Table], bench: Bench) -> Table:
    """Measure one load; what goes wrong in one is a row, and the others are measured all the same."""
    try:
        return run(bench)
    except BenchError as error:
        bench.say(f"{name}: {error}")
        return Table(name, f"Not measured: {name}", (Row(AGENT, note=f"failed: {error}"[:400]),))


def _pack(folder: Path) -> tuple[BenchModel, BenchModel]:
    """Pack the models in a process of its own; raises `BenchError`."""
    print("packing the models", file=sys.stderr, flush=True)
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.models", str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PACK_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the models could not be packed:\n{done.stderr[-2_000:]}")
    return packed_models(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="short rounds, to see that all of it runs; its figures say little",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures here")
    parser.add_argument(
        "--only", nargs="+", choices=list(LOADS), metavar="NAME", help=f"of {', '.join(LOADS)}"
    )
    parser.add_argument(
        "--peers-python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter that has the peers (and msgspec, numpy, onnxruntime); default: this one",
    )
    return parser


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
