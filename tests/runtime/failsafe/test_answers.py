"""What lies below the models: static answers, the last good answer, and the guards before both."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.bundle.manifest import BundleFile, Manifest, Task
from edgeconsole.protocol.tensors import Datatype, TensorSpec
from edgeconsole.runtime.failsafe.guards import SAMPLE_EVERY_S, OutputGuard
from edgeconsole.runtime.failsafe.last_good import MAX_BYTES, LastGood
from edgeconsole.runtime.failsafe.static_answers import NOT_DECLARED, StaticAnswer
from edgeconsole.specs import FailsafeSpec

FILES = tuple(BundleFile(path, 1, "0" * 64) for path in ("model.onnx", "golden.safetensors"))


def manifest(**fields) -> Manifest:
    """Return a manifest with outputs `scores` [-1, 2] and `state` [1]."""
    return Manifest(
        model="m",
        version="1",
        task=Task.CLASSIFICATION,
        inputs=(TensorSpec("x", Datatype.FP32, (-1, 3)),),
        outputs=(
            TensorSpec("scores", Datatype.FP32, (-1, 2)),
            TensorSpec("state", Datatype.INT64, (1,)),
        ),
        files=FILES,
        **fields,
    )


DECLARED = {"scores": [0.25, 0.75], "state": 9}


def test_a_static_answer_has_as_many_rows_as_the_request() -> None:
    """Batched outputs are repeated, others are not; only what is wanted is given."""
    static, why = StaticAnswer.declared(manifest(), FailsafeSpec(static_answer=DECLARED))
    assert static is not None
    assert why == ""
    outputs = dict(static.outputs(3, ()))
    assert outputs["scores"].tolist() == [[0.25, 0.75]] * 3
    assert outputs["state"].tolist() == [9]
    assert [name for name, _ in static.outputs(1, ("state",))] == ["state"]


def test_the_device_wins_over_the_bundle() -> None:
    """An operator's declaration replaces the packer's; the packer's counts where there is none."""
    bundle = manifest(static_answer={"scores": 0.0, "state": 0})
    ours, _ = StaticAnswer.declared(bundle, FailsafeSpec(static_answer=DECLARED))
    theirs, _ = StaticAnswer.declared(bundle, FailsafeSpec())
    assert dict(ours.outputs(1, ()))["state"].tolist() == [9]
    assert dict(theirs.outputs(1, ()))["state"].tolist() == [0]


def test_without_a_declaration_there_is_no_answer() -> None:
    """Nothing is invented, and a declaration that does not fit is a reason, not an answer."""
    assert StaticAnswer.declared(manifest(), FailsafeSpec()) == (None, NOT_DECLARED)
    static, why = StaticAnswer.declared(manifest(), FailsafeSpec(static_answer={"scores": 0}))
    assert static is None
    assert why == "device.toml: static_answer lacks output 'state': every output must be there"


def answer(value: float, rows: int = 1) -> list:
    """Return outputs of one tensor."""
    return [("y", np.full((rows, 2), value, np.float32))]


def test_the_last_good_answer_ends_with_its_age() -> None:
    """Up to `max_age` it is given with its age; after it, it is not."""
    last = LastGood(500.0, 1)
    assert last.outputs(1, (), 0.0) is None
    assert last.age_ms(0.0) is None
    last.keep(answer(1.0), 1, 10.0)
    outputs, age_ms = last.outputs(1, (), 10.5)
    assert outputs[0][1].tolist() == [[1.0, 1.0]]
    assert age_ms == pytest.approx(500.0)
    assert last.outputs(1, (), 10.501) is None


def test_the_last_good_answer_is_a_copy() -> None:
    """What is kept does not change when the worker's memory does."""
    last, outputs = LastGood(500.0, 1), answer(1.0)
    last.keep(outputs, 1, 0.0)
    outputs[0][1][:] = 7.0
    assert last.outputs(1, (), 0.1)[0][0][1].tolist() == [[1.0, 1.0]]


def test_the_last_good_answer_fits_the_request_or_is_not_given() -> None:
    """Other rows, parts of an answer and another bundle's answer are no last good answer."""
    last = LastGood(500.0, 1)
    last.keep(answer(1.0, rows=2), 2, 0.0)
    assert last.outputs(1, (), 0.1) is None
    assert last.outputs(2, ("z",), 0.1) == ([], pytest.approx(100.0))
    partial = LastGood(500.0, 2)
    partial.keep(answer(1.0), 1, 0.0)
    assert partial.age_ms(0.0) is None
    last.forget()
    assert last.outputs(2, (), 0.1) is None


def test_old_answers_are_opt_in_and_bounded() -> None:
    """Without `max_age` nothing is kept, and never more than a mebibyte."""
    never = LastGood(None, 1)
    never.keep(answer(1.0), 1, 0.0)
    assert never.age_ms(0.0) is None
    large = LastGood(500.0, 1)
    large.keep([("y", np.zeros(MAX_BYTES + 1, np.uint8))], 1, 0.0)
    assert large.age_ms(0.0) is None


def feed(guard: OutputGuard, count: int, inputs, outputs) -> list[str]:
    """Return what a guard says to samples far enough apart; arguments make arrays of an index."""
    return [
        guard.check([inputs(index)], [("y", outputs(index))], index * 2 * SAMPLE_EVERY_S)
        for index in range(count)
    ]


def constant(value: float):
    """Return a function that gives the same tensor for every index."""
    return lambda _: np.full((1, 4), value, np.float32)


def counting(index: int):
    """Return a tensor that differs for every index."""
    return np.full((1, 4), index, np.float32)


def test_values_outside_the_declared_range_are_no_answer() -> None:
    """The ends are valid, what is beyond them is named; other outputs are not looked at."""
    guard = OutputGuard(FailsafeSpec(output_range={"y": (0.0, 1.0)}, collapse_after=0))
    good = np.array([[0.0, 1.0]], np.float32)
    assert guard.check([], [("y", good)], 0.0) == ""
    assert guard.check([], [("z", good + 9)], 0.0) == ""
    assert "holds 1.5, valid is 0 to 1" in guard.check([], [("y", good + 0.5)], 0.0)
    assert "holds -0.5" in guard.check([], [("y", good - 0.5)], 0.0)


def test_one_answer_to_differing_inputs_is_a_collapse() -> None:
    """After so many samples in a row it is a failure, and each sample on; before, it is not."""
    guard = OutputGuard(FailsafeSpec(collapse_after=5))
    said = feed(guard, 8, counting, constant(0.5))
    assert said[:5] == [""] * 5
    assert all("the same answer" in each for each in said[5:])


def test_one_answer_to_one_input_is_none() -> None:
    """A sensor that repeats itself gets the same answer rightly."""
    guard = OutputGuard(FailsafeSpec(collapse_after=5))
    assert feed(guard, 50, constant(1.0), constant(0.5)) == [""] * 50


def test_a_differing_answer_ends_the_count() -> None:
    """Collapse is in a row: one answer that differs speaks against it."""
    guard = OutputGuard(FailsafeSpec(collapse_after=5))
    said = feed(guard, 40, counting, lambda n: constant(float(n % 5 == 0))(n))
    assert said == [""] * 40
    assert guard.samples_in_a_row < 5


def test_integers_and_empty_answers_may_repeat() -> None:
    """A class or "no objects" may well be the same for hours."""
    guard = OutputGuard(FailsafeSpec(collapse_after=5))
    assert feed(guard, 20, counting, lambda _: np.zeros((1, 1), np.int64)) == [""] * 20
    assert feed(guard, 20, counting, lambda _: np.zeros((0, 4), np.float32)) == [""] * 20


def test_answers_at_the_ends_of_the_range_are_a_collapse() -> None:
    """A saturated model says nothing but least and most, though its answers differ."""
    guard = OutputGuard(FailsafeSpec(collapse_after=5, output_range={"y": (0.0, 1.0)}))
    said = feed(guard, 8, counting, lambda n: np.array([[n % 2, n // 2 % 2, 1, 0]], np.float32))
    assert said[:3] == [""] * 3
    assert "nothing but the ends" in said[-1]


def test_a_collapse_is_seen_in_every_answer_from_then_on() -> None:
    """Between samples nothing passes as good, until an answer differs."""
    guard = OutputGuard(FailsafeSpec(collapse_after=3))
    assert "the same answer" in feed(guard, 5, counting, constant(0.5))[-1]
    now_s = 4 * SAMPLE_EVERY_S
    for index in range(5, 10):
        now_s += SAMPLE_EVERY_S / 100
        assert "the same answer" in guard.check([counting(index)], [("y", constant(0.5)(0))], now_s)
    assert not guard.check([counting(10)], [("y", constant(0.6)(0))], now_s)
    assert not guard.check([counting(11)], [("y", constant(0.6)(0))], now_s)


def test_collapse_is_only_looked_for_in_samples() -> None:
    """Answers that come close together cost no hashing, so they are not counted."""
    guard = OutputGuard(FailsafeSpec(collapse_after=3))
    for index in range(1000):
        assert guard.check([counting(index)], [("y", counting(1))], index * 1e-5) == ""
    assert guard.samples_in_a_row == 0


def test_collapse_can_be_switched_off() -> None:
    """`collapse_after = 0` is for models that may say one thing for ever."""
    guard = OutputGuard(FailsafeSpec(collapse_after=0))
    assert feed(guard, 50, counting, constant(0.5)) == [""] * 50
