"""What each level tries, and that whatever is left out is named with its reason."""

from __future__ import annotations

import itertools

import pytest

from edgeconsole.runtime.optimizer.plan import Facts, Technique, plan
from edgeconsole.specs import ModelOptimizationLevel

LEVEL = ModelOptimizationLevel
ALL = Facts(has_calibration=True, has_program=True, has_torch=True, cores=4)
STATIC = {"int8-minmax", "int8-percentile", "int8-entropy", "int8-products"}
REDUCED = {"pruned30", "pruned50", "pruned70", "distilled50"}


def test_no_level_means_the_float_model_alone() -> None:
    """It is what all others are compared with."""
    made = plan(LEVEL.NONE, ALL)
    assert made.names == ("fp32",)
    assert (made.threads, made.mixed, made.skipped) == ((1,), False, ())


def test_each_level_does_what_it_is_called() -> None:
    """One technique each; `full_optimization` does all, and quantises what it reduced."""
    assert set(plan(LEVEL.QUANTIZATION, ALL).names) == {
        "fp32",
        "int8-weights",
        "int8-dynamic",
        *STATIC,
    }
    assert set(plan(LEVEL.PRUNING, ALL).names) == {"fp32", "pruned30", "pruned50", "pruned70"}
    assert set(plan(LEVEL.DISTILLATION, ALL).names) == {"fp32", "distilled50"}
    compiled = plan(LEVEL.COMPILATION, ALL)
    assert (compiled.names, compiled.threads) == (("fp32",), (1, 4))
    full = set(plan(LEVEL.FULL_OPTIMIZATION, ALL).names)
    assert {"fp32", "int8-dynamic", *STATIC, *REDUCED} <= full
    assert {f"{name}-int8-minmax" for name in REDUCED} <= full


@pytest.mark.parametrize(
    ("facts", "names", "reason"),
    [
        (Facts(False, True, True, 1), STATIC | REDUCED, "calibration"),
        (Facts(True, False, True, 1), REDUCED, "model.pt2"),
        (Facts(True, True, False, 1), REDUCED, "torch"),
    ],
)
def test_what_cannot_be_tried_is_named_with_the_reason(
    facts: Facts, names: set[str], reason: str
) -> None:
    """A level never quietly does less; a single core has no second thread to offer."""
    made = plan(LEVEL.FULL_OPTIMIZATION, facts)
    assert {each.name for each in made.skipped} == names
    assert all(reason in each.reason for each in made.skipped)
    assert not names & set(made.names)
    assert made.threads == (1,)


def test_nothing_is_named_twice() -> None:
    """Whatever is known, each name is tried or skipped once."""
    for level in LEVEL:
        for bits in itertools.product([False, True], repeat=3):
            made = plan(level, Facts(*bits, cores=2))
            names = [*made.names, *(each.name for each in made.skipped)]
            assert len(set(names)) == len(names)
            assert all(each.technique in Technique for each in made.skipped)
