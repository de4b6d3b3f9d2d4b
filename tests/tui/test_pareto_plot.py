"""The plot of variants: each point where it belongs, told apart without colours, never too wide."""

from __future__ import annotations

import random

import msgspec
import pytest
from canned_jobs import REPORT, variant
from driving import texts
from fleets import HOSTILE

from edgeconsole.protocol.optimization import OptimizationReport, VariantStatus
from edgeconsole.tui import pareto_plot
from edgeconsole.tui.glyphs import ALPHABETS, ASCII, BRAILLE, Dot, Glyphs
from edgeconsole.tui.runs import line_width
from edgeconsole.tui.scales import Scale

SIZE = (78, 14)


def plot(report: OptimizationReport = REPORT, glyphs: Glyphs = BRAILLE) -> list[str]:
    """Return the plot as text."""
    return texts(pareto_plot.lines(report, SIZE, glyphs))


def place(lines: list[str], shape: str, name: str) -> tuple[int, int]:
    """Return the column and line of a point by its shape and name."""
    for y, line in enumerate(lines[:-2]):
        x = line.find(f"{shape} {name}")
        if x >= 0:
            return x, y
    raise AssertionError(f"no {shape} {name} in\n" + "\n".join(lines))


@pytest.mark.parametrize("glyphs", ALPHABETS.values(), ids=ALPHABETS)
def test_each_kind_has_its_shape(glyphs: Glyphs) -> None:
    """Recommended, front, what fails and the original are four shapes, and the legend names them."""
    assert len(set(glyphs.dots.values())) == len(Dot)
    lines = plot(glyphs=glyphs)
    for dot, name in (
        (Dot.RECOMMENDED, "int8-static"),
        (Dot.FRONT, "fused"),
        (Dot.FAILS, "int8-dynamic"),
        (Dot.ORIGINAL, "original"),
    ):
        place(lines, glyphs.dots[dot], name)
        assert f"{glyphs.dots[dot]} {dot.value}" in lines[-2]


def test_points_are_where_their_values_are() -> None:
    """Faster is further left, losing less is further down; the original is on the bottom line."""
    lines = plot()
    best, fused, first = (
        place(lines, "◆", "int8-static"),
        place(lines, "●", "fused"),
        place(lines, "□", "original"),
    )
    assert best[0] < fused[0] < first[0]
    assert best[1] < fused[1] < first[1]
    assert lines[first[1]].lstrip().startswith("0.0")


def test_the_gate_is_a_line_and_what_is_far_off_is_named() -> None:
    """What loses four times what is allowed sits at the edge, with its figures below."""
    lines = plot()
    assert "most it may lose 0.5" in lines[0]
    gate = next(y for y, line in enumerate(lines) if "· · · ·" in line)
    assert gate > place(lines, "×", "int8-dynamic↑")[1]
    assert gate < place(lines, "◆", "int8-static")[1]
    assert "beyond the edge: int8-dynamic 6.19 ms, drop 2.25" in lines[-1]


def test_what_was_not_measured_is_not_drawn() -> None:
    """Skipped and failed variants have no place; one without p99 is counted."""
    lines = plot()
    assert "pruned-50" not in "\n".join(lines)
    unknown = msgspec.structs.replace(
        REPORT, variants=(*REPORT.variants, variant("odd", 2.0, p99_ms=None))
    )
    assert "1 not drawn, without p99 or drop" in plot(unknown)[-1]


def test_the_original_loses_nothing_also_where_it_does_not_say_so() -> None:
    """Drops are measured against it."""
    silent = msgspec.structs.replace(REPORT.baseline, drop=None)
    assert plot(msgspec.structs.replace(REPORT, baseline=silent)) == plot()


def test_without_any_p99_it_takes_p50_and_says_so() -> None:
    """Too few runs give no p99."""
    short = msgspec.structs.replace(
        REPORT,
        variants=tuple(msgspec.structs.replace(each, p99_ms=None) for each in REPORT.variants),
    )
    lines = plot(short)
    assert lines[0].startswith("p50 ms across")
    place(lines, "◆", "int8-static")


@pytest.mark.parametrize("size", [(39, 14), (78, 8), (0, 0), (-5, 3)])
def test_without_room_there_is_no_plot(size: tuple[int, int]) -> None:
    """The table says it all; half a plot says nothing."""
    assert pareto_plot.lines(REPORT, size, BRAILLE) == []


def test_one_point_is_no_plot() -> None:
    """There is nothing to compare."""
    alone = msgspec.structs.replace(REPORT, variants=())
    assert plot(alone) == []


def test_two_points_on_one_place_show_the_better() -> None:
    """The recommended one is never hidden."""
    twins = msgspec.structs.replace(
        REPORT,
        variants=(
            variant("int8-static", 2.6, pareto=True),
            variant("twin", 2.6, status=VariantStatus.EXCLUDED),
        ),
    )
    lines = plot(twins)
    place(lines, "◆", "int8-static")
    assert sum("×" in line for line in lines[:-2]) == 0


@pytest.mark.parametrize("glyphs", [BRAILLE, ASCII], ids=["braille", "ascii"])
@pytest.mark.parametrize("seed", range(40))
def test_any_figures_fit(seed: int, glyphs: Glyphs) -> None:
    """Negative drops, equal values, nine orders of magnitude: no line is wider or missing."""
    rng = random.Random(seed)
    print("seed", seed)

    def number() -> float:
        return rng.choice([0.0, 10 ** rng.uniform(-5, 4), -(10 ** rng.uniform(-3, 1))])

    def one(name: str) -> object:
        return variant(
            name,
            1.0,
            p99_ms=abs(number()),
            drop=number(),
            pareto=rng.random() < 0.5,
            status=rng.choice([VariantStatus.OK, VariantStatus.EXCLUDED]),
        )

    names = [f"v{at}" for at in range(rng.randint(1, 12))]
    report = msgspec.structs.replace(
        REPORT,
        baseline=one("original"),
        variants=tuple(one(name) for name in names),
        recommended=rng.choice([None, *names]),
        constraints=msgspec.structs.replace(REPORT.constraints, max_drop=abs(number())),
    )
    size = (rng.randint(40, 120), rng.randint(9, 30))
    lines = pareto_plot.lines(report, size, glyphs)
    assert 0 < len(lines) <= size[1]
    assert all(line_width(line) <= size[0] for line in lines)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_in_their_line(text: str) -> None:
    """Whatever a device writes is escaped and cut."""
    report = msgspec.structs.replace(
        REPORT,
        variants=tuple(msgspec.structs.replace(each, name=text) for each in REPORT.variants),
    )
    for line in pareto_plot.lines(report, SIZE, BRAILLE):
        assert line_width(line) <= SIZE[0]
        assert all(char.isprintable() for char in texts([line])[0])


def test_the_axis_has_its_labels_below_their_ticks() -> None:
    """The first at the left, the last at the right, none over another."""
    axis = pareto_plot.value_axis(40, Scale(0.0, 20.0, 5.0))
    assert axis.split() == ["0", "5", "10", "15", "20"]
    assert (axis[0], axis.rstrip()[-2:], len(axis)) == ("0", "20", 40)
    assert pareto_plot.value_axis(0, Scale(0.0, 1.0, 0.5)) == ""
