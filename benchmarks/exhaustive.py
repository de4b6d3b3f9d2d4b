"""Whether the optimiser's pick is near the best: all that fits, measured again side by side.

The search times every variant on one thread and only the fastest on more; here every one that
keeps to the constraints runs with every number of threads, in rounds that are interleaved.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.check import Check
from benchmarks.optimizer_rows import fits, recommended
from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MANIFEST_NAME
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.runtime.optimizer.contender import Contender, Timing
from edgeconsole.runtime.optimizer.measure import time_together
from edgeconsole.runtime.optimizer.stats import percentile_ms, ratio_interval

_BUDGET_S: Final = 40.0
_MOST: Final = 1.1
_SEED: Final = 1
_WHAT: Final = "the pick's {} against the best of {}"


def against_all(bundle: Bundle, report: OptimizationReport, variants: Path) -> list[Check]:
    """Return how the pick's p50 and p99 stand to the best measured; empty if there is no pick.

    `variants` holds the bundles of what fits.
    """
    pick = recommended(report)
    if pick is None:
        return []
    contenders = list(_contenders(report, variants))
    found = time_together(bundle.path, contenders, budget_s=_BUDGET_S, tell=_say_nothing)
    timed = {name: timing for name, timing in found.items() if not timing.failure}
    picked = _name(pick.digest, pick.engine, pick.threads)
    if picked not in timed:
        return [Check("the pick, measured again", "", "it fails", met=False)]
    return [by_median(timed, picked), *by_tail(timed, picked)]


def bundles_of(variants: Path) -> dict[str, Bundle]:
    """Return the bundles in a folder by their digests."""
    found = [Bundle.open(path.parent) for path in variants.glob(f"*/{MANIFEST_NAME}")]
    return {each.digest: each for each in found}


def _contenders(report: OptimizationReport, variants: Path) -> Iterator[Contender]:
    bundles = bundles_of(variants)
    made = {(each.digest, each.engine): each for each in fits(report)}
    for (digest, engine), variant in sorted(made.items()):
        for threads in range(1, report.device.cores + 1):
            name = _name(digest, engine, threads)
            manifest = bundles[digest].manifest
            model = bundles[digest].file_path(manifest.model_file)
            yield Contender(name, variant.technique, manifest.execution, threads, model)


def _name(digest: str, engine: str, threads: int) -> str:
    return f"{digest} {engine} {threads}"


def by_median(timed: dict[str, Timing], picked: str) -> Check:
    """Compare medians of rounds, in pairs, with the best of all."""
    pick = timed[picked].rounds_ms
    ratios = {name: ratio_interval(pick, timing.rounds_ms, _SEED) for name, timing in timed.items()}
    ratio, interval = max(ratios.values(), key=lambda each: each[0])
    said = f"{ratio:.2f} ×" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
    what = _WHAT.format("p50", f"{len(timed)} measured")
    return Check(what, f"≤ {_MOST:g} ×", said, ratio <= _MOST)


def by_tail(timed: dict[str, Timing], picked: str) -> Iterator[Check]:
    """Compare p99 of all runs with the best, where there are enough of them."""
    tails = {
        name: p99
        for name, timing in timed.items()
        if (p99 := percentile_ms(timing.all_ms, 0.99)) is not None
    }
    if picked in tails:
        ratio = tails[picked] / min(tails.values())
        what = _WHAT.format("p99", f"{len(tails)} measured")
        yield Check(what, f"≤ {_MOST:g} ×", f"{ratio:.2f} ×", ratio <= _MOST)


def _say_nothing(_at: int, _of: int) -> None:
    """Tell nobody: it takes seconds."""
