"""What is recommended, what is not, and whether the reasons are true."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.protocol.optimization import (
    AGREEMENT,
    CLOSENESS,
    Constraints,
    Objective,
    Variant,
    VariantStatus,
)
from edgeconsole.runtime.optimizer.figures import DropUnit
from edgeconsole.runtime.optimizer.select import Choice, judge

OK, EXCLUDED = VariantStatus.OK, VariantStatus.EXCLUDED
FAILED, SKIPPED = VariantStatus.FAILED, VariantStatus.SKIPPED
MIB = 2**20
BASELINE = Variant(
    name="eager", technique="float", engine="torch", threads=1,
    p50_ms=8.0, p99_ms=12.0, size_bytes=8 * MIB, peak_rss_bytes=230 * MIB, drop=0.0,
)  # fmt: skip


def row(name: str, p50_ms: float | None = 2.0, **facts) -> Variant:
    """Return a variant with a speed-up known to a twentieth and nothing lost, unless said."""
    gain = None if not p50_ms else 8.0 / p50_ms
    usual = {
        "technique": "float",
        "engine": "onnxruntime",
        "threads": 1,
        "p99_ms": None if p50_ms is None else 1.5 * p50_ms,
        "speedup": gain,
        "ci": None if gain is None else (0.95 * gain, 1.05 * gain),
        "size_bytes": 8 * MIB,
        "peak_rss_bytes": 60 * MIB,
        "metric": "accuracy",
        "drop": 0.0,
    }
    return Variant(name=name, p50_ms=p50_ms, **(usual | facts))


def judged(*rows: Variant, objective=Objective.P50, unit=DropUnit.POINTS, **bounds) -> Choice:
    """Judge rows against the baseline."""
    return judge(BASELINE, rows, Constraints(**bounds), objective, unit=unit)


# Ties


def test_an_unknown_size_is_not_half_of_anything() -> None:
    """Of two as fast the simpler one is picked where either size is unknown, whatever the order."""
    for sizes in ((None, None), (8 * MIB, None), (None, 1 * MIB)):
        simple = row("simple", technique="float", size_bytes=sizes[0])
        other = row("other", technique="pruned", size_bytes=sizes[1])
        for rows in ((simple, other), (other, simple)):
            assert judged(*rows, objective=Objective.P50).recommended == "simple"


def test_of_two_as_fast_one_half_as_large_goes_before_a_simpler_one() -> None:
    """A file that is sent to forty devices and kept there need not be twice as large for nothing."""
    simple = row("fp32")
    stored = row("int8-weights", technique="weights int8", size_bytes=3 * MIB)
    choice = judged(simple, stored)
    assert choice.recommended == "int8-weights"
    large = row("int8-weights", technique="weights int8", size_bytes=5 * MIB)
    assert judged(simple, large).recommended == "fp32"
    slow = row("int8-weights", 2.5, technique="weights int8", size_bytes=1 * MIB)
    assert judged(simple, slow).recommended == "fp32"


def test_a_pick_that_is_not_the_fastest_says_that_it_is_smaller() -> None:
    """The reason names what speaks for the pick."""
    stored = row("int8-weights", 2.01, technique="weights int8", size_bytes=1 * MIB)
    choice = judged(row("fp32"), stored)
    assert choice.recommended == "int8-weights"
    assert any("int8-weights is smaller" in sentence for sentence in choice.why)


def test_the_tail_of_microseconds_is_the_machines_not_the_models() -> None:
    """Where runs are shorter than an interrupt, p99 decides nothing."""
    fast = row("fp32", 0.025, p99_ms=0.066)
    lucky = row("int8-entropy", 0.026, technique="static int8", p99_ms=0.051)
    assert judged(fast, lucky, objective=Objective.P99).recommended == "fp32"
    slow = row("fp32", 0.025, p99_ms=0.166)
    assert judged(slow, lucky, objective=Objective.P99).recommended == "int8-entropy"


def test_between_equals_the_smaller_file_decides_and_not_the_noise() -> None:
    """Of two pruned models as fast within noise, one that is smaller too is not left for a thousandth."""
    half = row("pruned50", 2.0, technique="pruned", size_bytes=5 * MIB, p99_ms=3.000)
    most = row("pruned70", 1.98, technique="pruned", size_bytes=4 * MIB, p99_ms=3.001)
    assert judged(half, most, objective=Objective.P99).recommended == "pruned70"


def test_a_lucky_tail_does_not_beat_a_clearly_faster_model() -> None:
    """Tails within noise of each other leave the decision to what is known: the median."""
    slow = row("int8-entropy", 0.0123, technique="static int8", p99_ms=0.0295)
    fast = row("fp32", 0.0107, p99_ms=0.0349, ci=(740.0, 760.0))
    assert judged(fast, slow, objective=Objective.P99).recommended == "fp32"
    assert judged(slow, fast, objective=Objective.P50).recommended == "fp32"


# Gates


@pytest.mark.parametrize(
    ("facts", "bounds", "reason"),
    [
        (
            {"drop": 1.6, "drop_ci": (0.4, 2.9)},
            {},
            "drop 1.6 points (0.4 to 2.9), at most 1.0 allowed",
        ),
        ({"drop": 1.004}, {}, "drop 1.004 points, at most 1.000 allowed"),
        ({"drop": math.inf}, {}, "drop inf points, at most 1.0 allowed"),
        ({"p99_ms": 6.123}, {"max_p99_ms": 5}, "p99 6.12 ms, at most 5 ms allowed"),
        ({"p99_ms": 5.0001}, {"max_p99_ms": 5}, "p99 5.0001 ms, at most 5 ms allowed"),
        (
            {"p99_ms": None},
            {"max_p99_ms": 5},
            "p99 is unknown with so few runs, at most 5 ms allowed",
        ),
        (
            {"p99_ms": None},
            {"max_p99_ms": 1},
            "p99 is unknown and p50 is 2 ms, at most 1 ms allowed",
        ),
        ({}, {"max_memory_bytes": 50 * MIB}, "memory 60 MiB, at most 50 MiB allowed"),
        (
            {"peak_rss_bytes": None},
            {"max_memory_bytes": 50 * MIB},
            "memory is unknown, at most 50 MiB allowed",
        ),
        ({}, {"max_size_bytes": 38 * 1024}, "size 8 MiB, at most 38 KiB allowed"),
        (
            {"size_bytes": 8 * MIB + 1},
            {"max_size_bytes": 8 * MIB},
            "size 8.000001 MiB, at most 8 MiB allowed",
        ),
        (
            {"size_bytes": None},
            {"max_size_bytes": MIB},
            "size is unknown, at most 1 MiB allowed",
        ),
        ({"p50_ms": None}, {}, "latency is unknown: it was not timed"),
        ({"p50_ms": math.nan}, {}, "latency is unknown: it was not timed"),
        (
            {"drop": 2.0, "peak_rss_bytes": 60 * MIB},
            {"max_memory_bytes": 50 * MIB},
            "drop 2.0 points, at most 1.0 allowed; memory 60 MiB, at most 50 MiB allowed",
        ),
    ],
)
def test_an_excluded_row_names_the_constraint_the_figure_and_the_bound(facts, bounds, reason):
    """What is above a bound, or not known to be below, is excluded; figure and bound read unequal."""
    (found,) = judged(msgspec.structs.replace(row("a"), **facts), **bounds).variants
    assert (found.status, found.reason) == (EXCLUDED, reason)


def test_what_just_meets_all_bounds_passes():
    """Bounds are included, and an OK row whose interval stays inside has nothing to say."""
    made = row("a", drop=1.0, drop_ci=(0.2, 1.0))
    choice = judged(made, max_p99_ms=3.0, max_memory_bytes=60 * MIB, max_size_bytes=8 * MIB)
    assert (choice.variants[0].status, choice.variants[0].reason) == (OK, "")
    assert choice.recommended == "a"


def test_an_interval_beyond_the_bound_passes_and_says_so():
    """The estimate decides; that it is not certain is said in the row and among the reasons."""
    choice = judged(row("a", drop=0.6, drop_ci=(-0.2, 1.5)))
    said = "drop 0.6 points (−0.2 to 1.5): not certain to be at most 1.0 with this many rows"
    assert (choice.variants[0].status, choice.variants[0].reason) == (OK, said)
    assert f"a: {said}" in choice.why


@pytest.mark.parametrize(
    "facts",
    [
        {"metric": ""},
        {"metric": "accuracy", "agreement": 1.0},
        {"metric": AGREEMENT},
        {"drop": math.nan, "metric": ""},
    ],
)
def test_an_unknown_drop_passes_no_gate_however_wide(facts):
    """Without any measure of accuracy a row is excluded; agreement is none where labels were."""
    facts = {"drop": None} | facts
    choice = judged(row("a", **facts), max_drop=1000.0)
    (found,) = choice.variants
    assert choice.recommended is None
    assert found.status is EXCLUDED
    assert found.reason.startswith("drop is unknown: accuracy was not measured")


@pytest.mark.parametrize(
    ("metric", "agreement", "status", "reason"),
    [
        ("", 0.995, OK, "judged by agreement with the original: no labels"),
        ("", 0.82, EXCLUDED, "disagreement 18.0 points, at most 1.0 allowed"),
        (
            CLOSENESS,
            0.995,
            OK,
            "judged by closeness to the original's values: no labels, no class scores declared",
        ),
        (CLOSENESS, 0.82, EXCLUDED, "distance 18.0 points, at most 1.0 allowed"),
    ],
)
def test_without_labels_a_row_says_what_it_is_judged_by(metric, agreement, status, reason):
    """A hundredth of answers that differ is a point, and so is a hundredth of their size."""
    (found,) = judged(row("a", drop=None, metric=metric, agreement=agreement)).variants
    assert (found.status, found.reason) == (status, reason)


def test_a_drop_in_agreement_given_with_its_interval_is_judged_likewise():
    """Where the caller made it a drop, its interval counts."""
    made = row("a", drop=0.5, drop_ci=(0.1, 1.2), metric=AGREEMENT, agreement=0.995)
    assert judged(made).variants[0].reason == (
        "judged by agreement with the original: no labels; disagreement 0.5 points (0.1 to 1.2): "
        "not certain to be at most 1.0 with this many rows"
    )


def test_drops_of_errors_are_in_per_cent():
    """A metric without an upper bound has no points."""
    (found,) = judged(row("a", drop=4.0), unit=DropUnit.PERCENT).variants
    assert found.reason == "drop 4.0 %, at most 1.0 allowed"


@pytest.mark.parametrize("status", [FAILED, SKIPPED])
def test_what_failed_or_was_skipped_stays_as_it_is(status):
    """Its reason stays, however good its figures; it is neither on the front nor picked."""
    made = row("a", 0.1, status=status, reason="worker exited 139")
    choice = judged(made, row("b"))
    assert choice.variants[0] == made
    assert choice.recommended == "b"


# The front


def test_the_front_is_what_nothing_beats():
    """As good in all and better in one dominates; excluded rows count, failed ones do not."""
    rows = (
        row("fast", 1.0, drop=2.0),
        row("small", 3.0, size_bytes=MIB),
        row("plain", 3.0),
        row("twin", 3.0, size_bytes=MIB),
        row("slow", 4.0),
        row("dead", 0.1, status=FAILED),
    )
    on_front = [each.name for each in judged(*rows).variants if each.pareto]
    assert on_front == ["fast", "small", "twin"]


def test_what_is_unknown_never_dominates():
    """A row of unknown size dominates no row of known size, and is dominated by it."""
    rows = (
        row("known", 2.0),
        row("unknown", 2.0, size_bytes=None),
        row("faster", 1.0, size_bytes=None),
    )
    on_front = [each.name for each in judged(*rows).variants if each.pareto]
    assert on_front == ["known", "faster"]


# The pick


@pytest.mark.parametrize(
    ("objective", "pick", "said"),
    [
        (Objective.P50, "median", "median is picked: p50 1 ms against 8 ms of the baseline eager"),
        (Objective.P99, "tail", "tail is picked: p99 2.5 ms against 12 ms of the baseline eager"),
        (
            Objective.SIZE,
            "small",
            "small is picked: size 2 MiB against 8 MiB of the baseline eager",
        ),
        (Objective.MEMORY, "lean", "lean is picked: memory 40 MiB against 230 MiB"),
        (Objective.ENERGY, "frugal", "frugal is picked: energy 0.3 mJ, speed-up 2.0 ×"),
    ],
)
def test_each_objective_picks_its_own(objective, pick, said):
    """One row is best in each, and the first reason says by how much."""
    choice = judged(
        row("median", 1.0, p99_ms=9.0),
        row("tail", 2.0, p99_ms=2.5),
        row("small", 4.0, size_bytes=2 * MIB),
        row("lean", 4.0, peak_rss_bytes=40 * MIB),
        row("frugal", 4.0, energy_mj=0.3),
        objective=objective,
    )
    assert choice.recommended == pick
    assert choice.why[0].startswith(said)


@pytest.mark.parametrize(
    ("objective", "facts", "pick", "said"),
    [
        (Objective.ENERGY, {}, "tail", "energy is unknown for all that fit: p99 decides instead"),
        (
            Objective.ENERGY,
            {"p99_ms": None},
            "median",
            "energy is unknown for all that fit, p99 is unknown with so few runs: p50 decides instead",
        ),
        (
            Objective.P99,
            {"p99_ms": None},
            "median",
            "p99 is unknown with so few runs: p50 decides instead",
        ),
        (
            Objective.SIZE,
            {"size_bytes": None},
            "tail",
            "size is unknown for all that fit: p99 decides instead",
        ),
    ],
)
def test_what_no_row_knows_cannot_decide(objective, facts, pick, said):
    """The next latency that is known decides instead, and that is said."""
    rows = (row("median", 1.0, p99_ms=9.0), row("tail", 2.0, p99_ms=2.5))
    choice = judged(*(msgspec.structs.replace(each, **facts) for each in rows), objective=objective)
    assert choice.recommended == pick
    assert said in choice.why


def test_what_only_an_excluded_row_knows_cannot_decide_either():
    """p99 is known for a row that is out: among the others p50 decides."""
    choice = judged(
        row("a", 2.0, p99_ms=None, threads=2),
        row("b", 3.0, p99_ms=None),
        row("out", 1.0, drop=9.0),
        objective=Objective.P99,
    )
    assert choice.recommended == "a"
    assert "p99 is unknown with so few runs: p50 decides instead" in choice.why


def test_a_row_that_lacks_the_figure_others_have_cannot_win():
    """It is named with that reason."""
    choice = judged(row("a", 1.0, p99_ms=None), row("b", 2.0, p99_ms=3.0), objective=Objective.P99)
    assert choice.recommended == "b"
    assert "not picked for want of a known p99: a" in choice.why


@pytest.mark.parametrize(
    ("one", "other", "pick"),
    [
        ({"threads": 2}, {}, "other"),
        ({"technique": "static int8"}, {}, "other"),
        ({"technique": "static int8"}, {"technique": "dynamic int8"}, "other"),
        ({"technique": "mixed int8"}, {"technique": "static int8"}, "other"),
        ({"technique": "pruned"}, {"technique": "mixed int8"}, "other"),
        ({"technique": "pruned + static int8"}, {"technique": "pruned"}, "other"),
        ({"technique": "something new"}, {"technique": "distilled"}, "other"),
        # simplicity is of no use to what is slower for certain
        ({"threads": 2, "ci": (3.9, 4.1)}, {"ci": (3.6, 3.8)}, "one"),
        # of equals in simplicity, the faster
        ({}, {}, "one"),
        # intervals unknown: a fiftieth is noise, a tenth is not
        ({"threads": 2, "ci": None}, {"p50_ms": 2.03}, "other"),
        ({"threads": 2, "ci": None}, {"p50_ms": 2.2}, "one"),
    ],
)
def test_within_noise_the_simpler_is_picked(one, other, pick):
    """Two rows, the first a little faster: noise does not decide, simplicity does."""
    first = msgspec.structs.replace(row("one", 2.0), **one)
    second = msgspec.structs.replace(row("other", 2.1), **other)
    choice = judged(first, second)
    assert choice.recommended == pick
    noise = "one (p50 2 ms) is better only within noise; other is simpler"
    assert (noise in choice.why) == (pick == "other")


@pytest.mark.parametrize(("p99_ms", "pick"), [(3.2, "spiky"), (3.5, "steady"), (6.0, "steady")])
def test_the_noise_of_a_median_is_no_excuse_for_a_tail(p99_ms, pick):
    """Intervals overlap, which is a tie for p50; for p99 it is one only within a tenth."""
    steady, spiky = row("steady", 2.0, threads=2, p99_ms=3.0), row("spiky", 2.1, p99_ms=p99_ms)
    assert judged(steady, spiky, objective=Objective.P99).recommended == pick
    assert judged(steady, spiky, objective=Objective.P50).recommended == "spiky"


def test_noise_alone_does_not_make_a_row_the_pick():
    """A row that another beats in everything ties with the best only because it is noisy."""
    best = row("best", 1.6, threads=2, ci=(4.9, 5.1))
    steady, noisy = row("steady", 1.78, ci=(4.45, 4.55)), row("noisy", 1.8, ci=(3.5, 5.2))
    assert judged(best, noisy).recommended == "noisy"
    assert judged(best, steady, noisy).recommended == judged(best, steady).recommended == "best"


@pytest.mark.parametrize(("size", "pick"), [(1.01, "plain"), (1.03, "packed")])
def test_sizes_within_a_fiftieth_are_equal(size, pick):
    """A hundredth smaller is not worth a quantisation, three are."""
    packed = row("packed", 2.0, technique="static int8", size_bytes=100 * MIB)
    plain = row("plain", 3.0, size_bytes=int(size * 100 * MIB))
    choice = judged(packed, plain, objective=Objective.SIZE)
    assert choice.recommended == pick


def test_a_single_row_that_fits_is_picked_even_if_slower_and_says_so():
    """There may be no engine for the baseline on the device; slower is still said plainly."""
    choice = judged(row("a", 10.0))
    assert choice.recommended == "a"
    assert "a is slower than the baseline: 0.80 ×" in choice.why


def test_a_speed_up_whose_interval_holds_one_is_no_gain_for_certain():
    """It is picked, and what it is worth is said."""
    why = judged(row("a", 7.9)).why
    assert "a is not faster than the baseline for certain: 1.01 ×" in why


def test_the_baseline_is_picked_only_from_the_list():
    """It is what others are compared with; it wins only where it is a row itself."""
    assert judged(row("a", 10.0)).recommended == "a"
    assert judged(row("a", 10.0), BASELINE).recommended == "eager"


def test_two_rows_of_one_name_are_an_error():
    """The report names its pick: a name must be one row."""
    with pytest.raises(ValueError, match="share a name"):
        judged(row("a"), row("a", 3.0))


# Reasons


def test_a_faster_row_that_is_excluded_is_named_with_what_it_would_take():
    """The bound is the next a person would type; the gain is told against the pick's."""
    choice = judged(
        row("int8-minmax", 8 / 3.9, technique="static int8"),
        row("int8-dynamic", 8 / 5.2, technique="dynamic int8", drop=1.63, drop_ci=(0.4, 2.9)),
        row("slow", 4.0, drop=7.0),
    )
    assert choice.recommended == "int8-minmax"
    assert choice.why == (
        (
            "int8-minmax is picked: p50 2.05 ms against 8 ms of the baseline eager, "
            "speed-up 3.9 × (3.7 to 4.1)"
        ),
        "int8-minmax: drop 0.0 points",
        (
            "int8-dynamic (p50 1.54 ms) is better but excluded: "
            "drop 1.6 points (0.4 to 2.9), at most 1.0 allowed"
        ),
        "with --max-drop 1.7, int8-dynamic would be picked: 5.2 × instead of 3.9 ×",
        "of 3 variants 1 within the constraints, 2 excluded",
    )


@pytest.mark.parametrize(
    ("facts", "bounds", "objective", "said"),
    [
        (
            {"p99_ms": 5.123},
            {"max_p99_ms": 5.0},
            Objective.P50,
            "with --max-p99-ms 5.13, b would be picked: 8.0 × instead of 4.0 ×",
        ),
        (
            {"peak_rss_bytes": 100 * MIB + 1, "p99_ms": 2.0},
            {"max_memory_bytes": 64 * MIB},
            Objective.P99,
            "with --max-memory-mb 101, b would be picked: p99 2 ms instead of 3 ms",
        ),
        (
            {"size_bytes": 9 * MIB, "drop": 3.0},
            {"max_size_bytes": 8 * MIB},
            Objective.P50,
            "with --max-drop 3.0 and --max-size-mb 9, b would be picked: 8.0 × instead of 4.0 ×",
        ),
    ],
)
def test_every_bound_can_be_the_one_to_widen(facts, bounds, objective, said):
    """All bounds that a row breaks are named together."""
    assert said in judged(row("a"), row("b", 1.0, **facts), objective=objective, **bounds).why


def test_what_is_unknown_no_bound_lets_through():
    """A row without a measured drop is told as excluded, and never as what a flag would give."""
    why = judged(row("a"), row("b", 1.0, drop=None)).why
    assert any(each.startswith("b (p50 1 ms) is better but excluded") for each in why)
    assert not any("would be picked" in each for each in why)


def test_of_many_better_rows_a_few_are_told():
    """Three, the best first, and how many more there are."""
    why = judged(row("a", 4.0), *(row(f"x{n}", 1.0 + n / 10, drop=9.0) for n in range(6))).why
    told = [each.split()[0] for each in why if "is better but excluded" in each]
    assert told == ["x0", "x1", "x2"]
    assert "better but excluded, too: 3 more" in why


# Nothing fits


def test_where_nothing_fits_nothing_is_recommended_and_the_nearest_named():
    """It is said by how much it misses and what would let it pass."""
    choice = judged(
        row("a", 1.0, drop=9.0),
        row("b", 3.0, drop=1.6, drop_ci=(0.4, 2.9)),
        row("c", 1.0, drop=None),
        row("d", status=SKIPPED, reason="no calibration data"),
    )
    assert (choice.recommended, choice.fallback) == (None, None)
    assert choice.why == (
        "nothing fits: of 4 variants 3 excluded, 1 skipped",
        (
            "the nearest is b: drop 1.6 points (0.4 to 2.9), at most 1.0 allowed; "
            "too much by 0.6 points"
        ),
        "with --max-drop 1.6, b would be picked: p50 3 ms, speed-up 2.7 ×",
        "with --max-drop 9.0, a would be picked: p50 1 ms, speed-up 8.0 ×",
    )


def test_half_a_point_is_nearer_than_twice_the_time():
    """However small the bound of the drop: below a point, points count."""
    choice = judged(row("lossy", drop=0.6), row("slow", p99_ms=10.0), max_drop=0.1, max_p99_ms=5.0)
    assert choice.why[1].startswith("the nearest is lossy: drop 0.6 points")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((), ("nothing fits: there are no variants",)),
        (
            (
                row("a", None, status=FAILED, reason="NaN in output y"),
                row("b", None, status=FAILED),
            ),
            (
                "nothing fits: of 2 variants 2 failed",
                "a failed: NaN in output y",
                "b failed: no reason is known",
            ),
        ),
        (
            (row("a", drop=None, metric=""), row("b", 1.0, drop=None, metric="", threads=2)),
            (
                "nothing fits: of 2 variants 2 excluded",
                (
                    "the nearest is a: drop is unknown: accuracy was not measured, "
                    "at most 1.0 points allowed"
                ),
            ),
        ),
    ],
)
def test_where_nothing_was_measured_the_reasons_say_so(rows, why):
    """No rows, only failures, no evaluation: each has its own words, and no pick."""
    choice = judged(*rows)
    assert choice.recommended is None
    assert choice.why == why


# The fallback


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        ({}, True),
        ({"size_bytes": 7 * MIB}, False),
        ({"size_bytes": None}, False),
        ({"p50_ms": 9.0, "speedup": 0.9}, False),
        ({"drop": 2.0}, False),
        ({"status": FAILED}, False),
        ({"speedup": None}, True),
    ],
)
def test_a_fallback_fits_is_clearly_smaller_and_not_slower_than_the_baseline(facts, fits):
    """A fifth smaller at least; what is unknown is no reason to trust it."""
    tiny = msgspec.structs.replace(row("tiny", 4.0, size_bytes=2 * MIB), **facts)
    choice = judged(row("big", 1.0), tiny)
    assert choice.recommended == "big"
    assert choice.fallback == ("tiny" if fits else None)
    said = "tiny is fit for the fallback rung: 2 MiB instead of 8 MiB, speed-up 2.0 ×"
    assert (said in choice.why) == fits


def test_without_a_baseline_to_be_as_fast_as_there_is_no_fallback():
    """A speed-up that nobody knows is no speed-up."""
    untimed = msgspec.structs.replace(BASELINE, p50_ms=None)
    rows = (row("big", 1.0, speedup=None), row("tiny", 4.0, size_bytes=MIB, speedup=None))
    assert judge(untimed, rows, Constraints(), Objective.P50).fallback is None


def test_of_several_fallbacks_the_smallest_then_the_simplest():
    """What is within a fiftieth of the smallest is as small."""
    choice = judged(
        row("big", 1.0),
        row("mid", 4.0, size_bytes=4 * MIB),
        row("cut", 3.0, size_bytes=2 * MIB, technique="pruned"),
        row("int8", 5.0, size_bytes=2 * MIB + 9, technique="static int8"),
    )
    assert choice.fallback == "int8"


# What holds for all reports

NUMBERS = st.floats(0.01, 100.0) | st.sampled_from([1.0, 2.0, 2.02])
MAYBE = st.none() | NUMBERS
BYTES = st.none() | st.integers(1, 20).map(lambda mib: mib * MIB)
TECHNIQUES = st.sampled_from(
    ["float", "dynamic int8", "static int8", "mixed int8", "pruned", "distilled, static int8", "?"]
)


def interval(speedup, noise):
    """Return a speed-up's interval, if both are known."""
    if speedup is None or noise is None:
        return None
    return speedup * (1 - noise), speedup * (1 + noise)


@st.composite
def any_row(draw, name: str) -> Variant:
    """Draw a row with anything known or unknown."""
    p50_ms = draw(MAYBE)
    speedup = None if p50_ms is None else 8.0 / p50_ms
    noise = draw(st.none() | st.floats(0.0, 0.5))
    drop = draw(st.none() | st.floats(-2.0, 5.0))
    return Variant(
        name=name,
        technique=draw(TECHNIQUES),
        engine="onnxruntime",
        threads=draw(st.integers(1, 3)),
        p50_ms=p50_ms,
        p99_ms=draw(st.none() | st.just(p50_ms and 1.5 * p50_ms) | NUMBERS),
        speedup=speedup,
        ci=interval(speedup, noise),
        size_bytes=draw(BYTES),
        peak_rss_bytes=draw(BYTES),
        energy_mj=draw(MAYBE),
        metric=draw(st.sampled_from(["accuracy", AGREEMENT, CLOSENESS, ""])),
        drop=drop,
        drop_ci=None if drop is None else (drop - 1.0, drop + 1.0),
        agreement=draw(st.none() | st.floats(0.9, 1.0)),
        status=draw(st.sampled_from([OK, OK, OK, EXCLUDED, FAILED, SKIPPED])),
        reason=draw(st.sampled_from(["", "because"])),
    )


@st.composite
def any_rows(draw) -> tuple[Variant, ...]:
    """Draw up to seven rows."""
    return tuple(draw(any_row(f"row{n}")) for n in range(draw(st.integers(0, 7))))


BOUNDS = st.builds(
    Constraints,
    max_drop=st.floats(0.0, 5.0) | st.just(1.0),
    max_p99_ms=MAYBE,
    max_memory_bytes=BYTES,
    max_size_bytes=BYTES,
)
OBJECTIVES = st.sampled_from(list(Objective))


def drop_of(each: Variant) -> float:
    """Return the loss that is judged; infinite if unknown."""
    if each.drop is not None:
        return each.drop
    by_agreement = each.agreement is not None and each.metric in ("", AGREEMENT, CLOSENESS)
    return 100 * (1 - each.agreement) if by_agreement else math.inf


def meets(each: Variant, bounds: Constraints) -> bool:
    """Return whether a row keeps to all constraints, written down once more."""
    limits = (
        (each.p99_ms, bounds.max_p99_ms),
        (each.peak_rss_bytes, bounds.max_memory_bytes),
        (each.size_bytes, bounds.max_size_bytes),
    )
    return (
        each.status in (OK, EXCLUDED)
        and each.p50_ms is not None
        and drop_of(each) <= bounds.max_drop
        and all(most is None or (is_ is not None and is_ <= most) for is_, most in limits)
    )


@given(any_rows(), BOUNDS, OBJECTIVES)
def test_what_is_recommended_meets_all_constraints(rows, bounds, objective):
    """Pick, fallback and OK rows do; something that does is always picked; reasons are given."""
    choice = judge(BASELINE, rows, bounds, objective)
    fit = {each.name for each in rows if meets(each, bounds)}
    assert {each.name for each in choice.variants if each.status is OK} == fit
    assert (choice.recommended in fit) if fit else (choice.recommended is None)
    assert choice.fallback is None or choice.fallback in fit - {choice.recommended}
    assert all(choice.why)
    assert choice.why
    for before, after in zip(rows, choice.variants, strict=True):
        assert before.status in (OK, EXCLUDED) or after == before
        assert after.status is not EXCLUDED or after.reason


@given(any_rows(), BOUNDS, OBJECTIVES)
def test_no_row_on_the_front_is_beaten_and_all_others_are(rows, bounds, objective):
    """By a row of the front: with unknown as the worst, dominance has no circles."""
    choice = judge(BASELINE, rows, bounds, objective)
    measured = [
        each
        for each in choice.variants
        if each.status in (OK, EXCLUDED) and each.p50_ms is not None
    ]
    fit = [each for each in measured if each.status is OK] or measured
    tail = objective is not Objective.P50 and any(each.p99_ms is not None for each in fit)

    def point(each):
        latency_ms = each.p99_ms if tail else each.p50_ms
        known = (latency_ms, each.size_bytes, each.peak_rss_bytes, each.energy_mj)
        return (drop_of(each), *(math.inf if one is None else one for one in known))

    def dominates(one, other):
        pairs = list(zip(point(one), point(other), strict=True))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    on_front = [each for each in measured if each.pareto]
    assert bool(on_front) == bool(measured)
    for each in measured:
        assert each.pareto != any(dominates(one, each) for one in on_front)
        assert each.pareto != any(dominates(one, each) for one in measured)


@given(any_rows(), BOUNDS, OBJECTIVES, st.data())
def test_a_row_that_another_beats_in_everything_changes_nothing(rows, bounds, objective, data):
    """Worse or equal in every figure and not simpler, however noisy: the pick stays."""
    choice = judge(BASELINE, rows, bounds, objective)
    fit = [each for each in choice.variants if each.status is OK]
    if not fit:
        return
    model = data.draw(st.sampled_from(fit))
    loss = st.floats(1.0, 1.5)

    def worse(value):
        return None if value is None else value * data.draw(loss)

    size = worse(model.size_bytes)
    beaten = msgspec.structs.replace(
        model,
        name="zbeaten",
        threads=model.threads + data.draw(st.integers(0, 2)),
        p50_ms=worse(model.p50_ms),
        p99_ms=worse(model.p99_ms),
        ci=(0.01, 1e6),
        size_bytes=None if size is None else math.ceil(size),
        energy_mj=worse(model.energy_mj),
    )
    more = data.draw(st.permutations([*rows, beaten]))
    after = judge(BASELINE, more, bounds, objective)
    assert after.recommended == choice.recommended
    assert {each for each in after.variants if each.name != "zbeaten"} == set(choice.variants)


@given(any_rows(), BOUNDS, OBJECTIVES, st.data())
def test_the_order_of_rows_and_an_earlier_judgement_change_nothing(rows, bounds, objective, data):
    """Judged again, shuffled or under other bounds in between: the same choice."""
    choice = judge(BASELINE, rows, bounds, objective)
    between = judge(BASELINE, choice.variants, data.draw(BOUNDS), data.draw(OBJECTIVES))
    assert judge(BASELINE, between.variants, bounds, objective) == choice
    shuffled = judge(BASELINE, data.draw(st.permutations(rows)), bounds, objective)
    assert (shuffled.recommended, shuffled.fallback) == (choice.recommended, choice.fallback)
    assert shuffled.why == choice.why


FLAG = re.compile(r"(--max-[a-z0-9-]+) ([0-9.]+)")
FIELDS = {
    "--max-drop": ("max_drop", 1),
    "--max-p99-ms": ("max_p99_ms", 1),
    "--max-memory-mb": ("max_memory_bytes", MIB),
    "--max-size-mb": ("max_size_bytes", MIB),
}


@given(any_rows(), BOUNDS, OBJECTIVES)
def test_what_it_is_said_to_take_is_what_it_takes(rows, bounds, objective):
    """Judged with the flags of such a sentence, as printed, its row is the pick."""
    for said in judge(BASELINE, rows, bounds, objective).why:
        if " would be picked" not in said:
            continue
        flags, name = re.match(r"with (.+), (\S+) would be picked", said).groups()
        wider = {}
        for flag, text in FLAG.findall(flags):
            field, unit = FIELDS[flag]
            wider[field] = float(text) if unit == 1 else math.ceil(float(text) * unit)
        other = judge(BASELINE, rows, msgspec.structs.replace(bounds, **wider), objective)
        assert other.recommended == name, said


SLACK = {
    Objective.P99: ("p99_ms", 1.1),
    Objective.SIZE: ("size_bytes", 1.02),
    Objective.MEMORY: ("peak_rss_bytes", 1.02),
    Objective.ENERGY: ("energy_mj", 1.02),
}


@given(any_rows(), BOUNDS, st.sampled_from(list(SLACK)))
def test_simplicity_costs_no_more_than_the_noise(rows, bounds, objective):
    """The pick's figure is the best known one, or within its noise of it."""
    choice = judge(BASELINE, rows, bounds, objective)
    field, slack = SLACK[objective]
    fit = {each.name: getattr(each, field) for each in choice.variants if each.status is OK}
    known = [value for value in fit.values() if value is not None]
    if known:
        assert fit[choice.recommended] is not None
        assert fit[choice.recommended] <= slack * min(known)
