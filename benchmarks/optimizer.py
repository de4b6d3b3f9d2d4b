"""What the optimiser makes of small models on real data: `make bench-optimiser`.

    python -m benchmarks.optimizer [--only cnn,gru] [--budget 5m]

Each model is trained with a fixed seed, packed, and given to `edgeconsole-agent optimize` with an
empty cache, as a person would. The ratios are the report's own: medians of paired rounds against
torch eager in the same run, with 95 % intervals; drops are paired on the 599 held-out rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.digit_models import FAMILIES, Family, pack_family
from benchmarks.machine import describe
from edgeconsole.protocol.optimization import OptimizationReport, Variant

_MOST_SIZE: Final = 0.35
_MOST_MEMORY_MIB: Final = 65.0
_MOST_SEARCH_S: Final = 300.0
_NEAR_BEST: Final = 0.9
_MIB: Final = 1 << 20


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="families, with commas between")
    parser.add_argument("--budget", default="5m", help="for each model (default: 5m)")
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    families = [each for each in FAMILIES if not wanted or each.name in wanted]
    if not families:
        parser.error(f"no such family; there are {', '.join(each.name for each in FAMILIES)}")
    print("# Optimiser benchmark\n")
    machine = describe()
    print(
        f"- machine: {machine.cpu}, {machine.cores} cores; {machine.kernel}, Python {machine.python}"
    )
    print(f"- {', '.join(f'{name} {version}' for name, version in machine.packages.items())}")
    print("- data: scikit-learn's handwritten digits, 599 held-out rows, random split\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for family in families:
            print(f"{family.name}: training and searching", file=sys.stderr, flush=True)
            bundle = pack_family(family, Path(folder))
            rows.append((family, _report(bundle, Path(folder) / "cache", options.budget)))
    _print_results(rows)
    _print_targets(rows)
    return 0


def _report(bundle: Path, cache: Path, budget: str) -> OptimizationReport:
    words = ["optimize", str(bundle), "--cache", str(cache), "--budget", budget, "--json"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "edgeconsole.runtime.cli", *words], capture_output=True, check=False
    )
    if not done.stdout:
        raise SystemExit(done.stderr.decode(errors="replace"))
    return msgspec.json.decode(done.stdout, type=OptimizationReport)


def _print_results(rows: list[tuple[Family, OptimizationReport]]) -> None:
    print(
        "| model | eager p50 (ms) | onnxruntime fp32 | recommended | speed-up | size | "
        "memory (MiB) | accuracy | drop (points) | search (s) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for family, report in rows:
        eager, pick = report.baseline, _pick(report)
        fp32 = next(each for each in report.variants if each.name == "fp32")
        cells = [family.name, _number(eager.p50_ms), _speed(fp32)]
        if pick is None:
            cells += ["nothing fits", *["–"] * 5]
        else:
            cells += [
                pick.name,
                _speed(pick),
                _ratio(pick.size_bytes, eager.size_bytes),
                _number(None if pick.peak_rss_bytes is None else pick.peak_rss_bytes / _MIB),
                f"{_number(eager.metric_value)} → {_number(pick.metric_value)}",
                _span(pick.drop, pick.drop_ci),
            ]
        print(f"| {' | '.join([*cells, f'{report.took_s:.0f}'])} |")
    print()


def _print_targets(rows: list[tuple[Family, OptimizationReport]]) -> None:
    print("| target | limit | measured | |")
    print("|---|---|---|---|")
    for family, report in rows:
        pick = _pick(report)
        if pick is None:
            print(f"| {family.name}: a variant that fits | | none | MISS |")
            continue
        fits = [each.speedup or 0.0 for each in report.variants if each.status == "ok"]
        speedup = pick.speedup or 0.0
        memory_mib = (pick.peak_rss_bytes or 0) / _MIB
        size = (pick.size_bytes or 0) / (report.baseline.size_bytes or 1)
        for what, limit, value, good in (
            ("speed-up", f"≥ {family.least_speedup:g}", speedup, speedup >= family.least_speedup),
            ("size of eager's", f"≤ {_MOST_SIZE}", size, size <= _MOST_SIZE),
            ("memory, MiB", f"≤ {_MOST_MEMORY_MIB:g}", memory_mib, memory_mib <= _MOST_MEMORY_MIB),
            ("of the fastest that fits", f"≥ {_NEAR_BEST}", speedup / max(fits), speedup >= _NEAR_BEST * max(fits)),
            ("search, s", f"≤ {_MOST_SEARCH_S:g}", report.took_s, report.took_s <= _MOST_SEARCH_S),
        ):  # fmt: skip
            print(
                f"| {family.name}: {what} | {limit} | {value:.3g} | {'pass' if good else 'MISS'} |"
            )


def _pick(report: OptimizationReport) -> Variant | None:
    return next((each for each in report.variants if each.name == report.recommended), None)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _speed(variant: Variant) -> str:
    return _span(variant.speedup, variant.ci) + (" ×" if variant.speedup is not None else "")


def _span(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    inside = f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else ""
    return f"{value:.1f}{inside}"


def _ratio(size: int | None, of: int | None) -> str:
    return "–" if size is None or not of else f"{size / of:.2f} ×"


if __name__ == "__main__":
    sys.exit(main())
