"""The optimiser's benchmark: rows, targets, and the comparison with all that fits."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from benchmarks import exhaustive, optimizer
from benchmarks.fetch import Cache, UnavailableError
from benchmarks.optimizer_rows import Row, checks
from benchmarks.optimizer_tables import pairs_table, results_table, targets_table
from benchmarks.pairs.all import PAIRS
from benchmarks.pairs.pair import Kind, Material, Pair
from edgeconsole.bundle import Bundle
from edgeconsole.demo.data import bundle_path
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.runtime.optimizer.contender import Timing
from edgeconsole.specs import ModelOptimizationLevel

MIB = 2**20


def no_material(_cache: Cache) -> Material:
    """Stand for data that cannot be had."""
    raise UnavailableError("pip failed: no network")


PAIR = Pair(
    name="toy",
    kind=Kind.CNN,
    source="nowhere",
    licence="none",
    split="all",
    recipe="none",
    make=no_material,
)
EAGER = Variant(
    name="eager-fp32", technique="eager", engine="torch", threads=1, p50_ms=1.0, speedup=1.0,
    size_bytes=100_000, peak_rss_bytes=230 * MIB, metric="accuracy", metric_value=0.95,
)  # fmt: skip
FP32 = msgspec.structs.replace(
    EAGER, name="fp32", technique="float", engine="onnxruntime", p50_ms=0.25, speedup=4.0,
    ci=(3.5, 4.5), peak_rss_bytes=60 * MIB, drop=0.0,
)  # fmt: skip
INT8 = msgspec.structs.replace(
    FP32, name="pruned50-int8", technique="pruned, static int8", p50_ms=0.05, speedup=20.0,
    ci=(19.0, 21.0), size_bytes=20_000, metric_value=0.945, drop=0.5, drop_ci=(0.1, 0.9),
    agreement=0.98,
)  # fmt: skip


def report(*variants: Variant, pick: str | None, **facts) -> OptimizationReport:
    """Return a report of these variants."""
    usual = {
        "baseline": EAGER,
        "device": MeasuredOn(
            fingerprint="f", cpu="c", cores=1, machine="x86_64", engines={"onnxruntime": "1"}
        ),
        "took_s": 60.0,
    }
    return OptimizationReport(
        model="toy",
        version="1",
        level=ModelOptimizationLevel.FULL_OPTIMIZATION,
        objective=Objective.P99,
        constraints=Constraints(),
        variants=variants,
        recommended=pick,
        why=(),
        evaluation="accuracy on evaluation data, 100 rows",
        **(usual | facts),
    )


def stand(found: OptimizationReport, what: str) -> bool:
    """Say whether a target is met."""
    return {each.what: each.met for each in checks(PAIR, found)}[what]


def test_every_pair_says_where_it_comes_from() -> None:
    """Names are command-line words of their own; source, licence and split are never left out."""
    assert len({each.name for each in PAIRS}) == len(PAIRS)
    for each in PAIRS:
        assert each.name.replace("-", "").isalnum()
        assert all((each.source, each.licence, each.split, each.recipe))


def test_every_target_is_judged() -> None:
    """A row that reaches all is met in all; each shortfall is a miss of its own."""
    good = report(FP32, INT8, pick="pruned50-int8")
    assert all(each.met for each in checks(PAIR, good))
    slow = msgspec.structs.replace(INT8, speedup=7.9)
    assert not stand(report(slow, pick=slow.name), "speed-up")
    assert not stand(report(slow, pick=slow.name), "pruned and quantised")
    large = msgspec.structs.replace(INT8, size_bytes=36_000, peak_rss_bytes=66 * MIB)
    assert not stand(report(large, pick=large.name), "size of eager's")
    assert not stand(report(large, pick=large.name), "memory, MiB")
    assert not stand(report(FP32, INT8, pick="fp32"), "of the fastest that fits")
    assert not stand(report(INT8, pick=INT8.name, took_s=301.0), "search, s")
    assert [each.met for each in checks(PAIR, report(FP32, pick=None))] == [False]


def test_what_is_excluded_is_not_the_fastest_that_fits() -> None:
    """A variant that loses too much is no yardstick for the pick."""
    wrong = msgspec.structs.replace(
        INT8, name="wrong", speedup=99.0, status=VariantStatus.EXCLUDED, reason="drop"
    )
    assert stand(report(INT8, wrong, pick=INT8.name), "of the fastest that fits")


def test_litert_raises_the_bar_for_small_cnns() -> None:
    """Where that engine is installed more is expected."""
    there = MeasuredOn(fingerprint="f", cpu="c", cores=1, machine="x86_64", engines={"litert": "2"})
    eleven = msgspec.structs.replace(INT8, speedup=11.0)
    assert stand(report(eleven, pick=eleven.name), "speed-up")
    assert not stand(report(eleven, pick=eleven.name, device=there), "speed-up")


def test_tables_have_a_row_for_what_is_missing_too() -> None:
    """A pair that cannot be had is a row with the reason, as wide as the others."""
    found = report(FP32, INT8, pick=INT8.name)
    rows = [Row(PAIR, found, tuple(checks(PAIR, found))), Row(PAIR, reason="skipped: no network")]
    for table in (results_table(rows), targets_table(rows), pairs_table(rows)):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    line, missing = results_table(rows).splitlines()[2:]
    assert line == (
        "| toy | 1 | 230 | 4.0 (3.5 to 4.5) × | pruned50-int8 | 20.0 (19.0 to 21.0) × | ≥ 8: met | "
        "0.20 × | 60 | accuracy 0.95 → 0.945 | 0.5 (0.1 to 0.9) | 98.0 | 60 |"
    )
    assert missing.startswith("| toy | skipped: no network | – |")


def test_agreement_is_never_called_accuracy() -> None:
    """Without labels the metric's column says so."""
    eager = msgspec.structs.replace(EAGER, metric="agreement", metric_value=None)
    pick = msgspec.structs.replace(INT8, metric="agreement", metric_value=None)
    table = results_table([Row(PAIR, report(pick, pick=pick.name, baseline=eager))])
    assert "no labels: agreement" in table
    assert "accuracy" not in table


def test_what_cannot_be_had_is_told_by_its_pair(tmp_path: Path) -> None:
    """Packing raises the reason that becomes the row."""
    with pytest.raises(UnavailableError, match="no network"):
        PAIR.pack(Cache(tmp_path), tmp_path)


def test_the_pick_is_measured_again_beside_all_that_fits(tmp_path: Path) -> None:
    """With one variant and one thread the pick is the best: its ratio to itself is one."""
    shutil.copytree(bundle_path("digits"), tmp_path / "fp32")
    bundle = Bundle.open(tmp_path / "fp32")
    only = msgspec.structs.replace(FP32, digest=bundle.digest)
    median, *_ = exhaustive.against_all(bundle, report(only, pick="fp32"), tmp_path)
    assert median.met
    assert median.measured == "1.00 × (1.00 to 1.00)"
    assert "best of 1 measured" in median.what


def test_a_pick_that_is_a_fifth_slower_than_another_is_a_miss() -> None:
    """Rounds are compared in pairs, tails over all runs; both limits are a tenth."""
    rounds = [1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.9]
    fast = Timing(rounds_ms=rounds, all_ms=[1.0] * 2000)
    slow = Timing(rounds_ms=[1.2 * each for each in rounds], all_ms=[1.05] * 2000)
    timed = {"slow": slow, "fast": fast}
    assert not exhaustive.by_median(timed, "slow").met
    assert exhaustive.by_median(timed, "fast").met
    assert [each.met for each in exhaustive.by_tail(timed, "slow")] == [True]
    few = Timing(rounds_ms=rounds, all_ms=[1.0] * 10)
    assert not list(exhaustive.by_tail({"few": few}, "few"))


def test_a_run_that_is_stopped_prints_what_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes of measuring are not lost; the exit code says that it is not all."""

    def measure(pair: Pair, *_rest: object) -> Row:
        if pair.name == "cnn":
            signal.raise_signal(signal.SIGTERM)
        return Row(pair, reason="skipped: for the test")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(optimizer, "_measure", measure)
    monkeypatch.setattr("sys.argv", ["optimizer", "--only", "mlp,cnn,gru"])
    try:
        assert optimizer.main() == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr()
    assert "| mlp | skipped: for the test |" in said.out
    assert "| gru |" not in said.out
    assert "stopped" in said.err
