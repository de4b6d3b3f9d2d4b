"""What each level tries, and that whatever is left out is named with its reason."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from edgeconsole.engines import Engine, Execution, Precision
from edgeconsole.runtime.optimizer.forms import Form, Port, Technique
from edgeconsole.runtime.optimizer.plan import Facts, plan
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
    skipped = {each.name: each.reason for each in made.skipped}
    assert set(skipped) == names | {"bf16", "fp16"}
    assert all(reason in skipped[name] for name in names)
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


BOTH = frozenset({"openvino", "litert"})


def ports(level: ModelOptimizationLevel, facts: Facts) -> tuple[set[str], dict[str, str]]:
    """Return what is run elsewhere by the name it has for the packed model, and what is not."""
    made = plan(level, facts)
    skipped = {each.name: each.reason for each in made.skipped}
    return {port.name("fp32") for port in made.ports}, skipped


def test_a_level_is_searched_in_every_engine_there_is() -> None:
    """Float at every level; less only where the level quantises and the processor can."""
    facts = dataclasses.replace(
        ALL, engines=BOTH, precisions=frozenset({Precision.BF16}), has_converter=True
    )
    assert ports(LEVEL.NONE, facts) == ({"fp32-openvino", "fp32-litert"}, {})
    less = {"fp32-openvino", "bf16-openvino", "int8-dynamic-litert", "int8-static-litert"}
    found, skipped = ports(LEVEL.QUANTIZATION, facts)
    assert less <= found
    assert "does not compute in fp16" in skipped["fp16-openvino"]
    assert "no bf16 kernels" in skipped["bf16"]
    assert {port.execution.max_batch for port in plan(LEVEL.NONE, facts).ports} == {None, 1}


def test_an_engine_that_is_not_there_is_no_row() -> None:
    """What nobody installed is not missed in a report of hundred devices."""
    found, skipped = ports(LEVEL.FULL_OPTIMIZATION, ALL)
    assert found == set()
    assert set(skipped) == {"bf16", "fp16"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"has_torch": False}, "torch"),
        ({"has_program": False}, "model.pt2"),
        ({"has_converter": False}, r"edgeconsole\[litert-build\]"),
    ],
)
def test_files_for_litert_that_cannot_be_made_are_one_row(
    change: dict[str, bool], reason: str
) -> None:
    """It says what is missing where."""
    facts = dataclasses.replace(ALL, engines=BOTH, has_converter=True)
    found, skipped = ports(LEVEL.QUANTIZATION, dataclasses.replace(facts, **change))
    assert not [name for name in found if name.endswith("litert")]
    assert [name for name in skipped if name.endswith("litert")] == ["fp32-litert"]
    assert re.search(reason, skipped["fp32-litert"])


def test_ports_of_reduced_and_quantised_models_have_names_of_their_own() -> None:
    """A name says what was done, in the order it was done."""
    openvino, bf16 = Execution(Engine.OPENVINO), Execution(Engine.OPENVINO, Precision.BF16)
    litert = Execution(Engine.LITERT, max_batch=1)
    for port, built, technique, name, said in (
        (Port(openvino), "pruned50", "pruned", "pruned50-openvino", "pruned"),
        (Port(bf16), "pruned50", "pruned", "pruned50-bf16-openvino", "pruned, bf16"),
        (Port(bf16), "fp32", "float", "bf16-openvino", "bf16"),
        (
            Port(openvino, Form.READY),
            "int8-minmax",
            "static int8",
            "int8-minmax-openvino",
            "static int8",
        ),
        (
            Port(litert, Form.STATIC),
            "distilled50",
            "distilled",
            "distilled50-int8-static-litert",
            "distilled, static int8",
        ),
        (Port(litert, Form.DYNAMIC), "fp32", "float", "int8-dynamic-litert", "dynamic int8"),
    ):
        assert (port.name(built), port.technique(technique)) == (name, said)
