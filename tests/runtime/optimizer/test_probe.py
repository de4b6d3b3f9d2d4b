"""The measuring process: what it opens, times and answers, in each engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeconsole import demo
from edgeconsole.bundle import Bundle
from edgeconsole.bundle.tensorfile import decode_tensors
from edgeconsole.engines import PLAIN, Execution
from edgeconsole.errors import BackendError
from edgeconsole.runtime.optimizer.children import ChildError
from edgeconsole.runtime.optimizer.contender import Contender
from edgeconsole.runtime.optimizer.measure import ROUNDS, open_probe, time_together
from edgeconsole.runtime.optimizer.probe import Probe
from edgeconsole.runtime.optimizer.words import Answer, DataSet, Open, Opened, Time, Timed
from tests.models import root_model

DIGITS = Path(demo.__file__).parent / "bundles" / "digits"


def contender(
    name: str = "fp32",
    model: Path = DIGITS / "model.onnx",
    execution: Execution | None = PLAIN,
):
    """Return a contender on one thread."""
    return Contender(name, "float", execution, 1, model)


@pytest.mark.parametrize(("execution", "file"), [(PLAIN, "model.onnx"), (None, "model.pt2")])
def test_engines_give_the_original_answers(
    tmp_path: Path, execution: Execution | None, file: str
) -> None:
    """The baseline and the served engine answer alike, in processes of their own."""
    child, load_ms = open_probe(DIGITS, contender(model=DIGITS / file, execution=execution))
    out = tmp_path / "out"
    with child:
        assert load_ms > 0
        answered = child.ask(Answer(DataSet.EVALUATION, 100, str(out)), timeout_s=60)
        timed = child.ask(Time(20.0, 30), timeout_s=60)
    assert answered.rows == 100
    assert len(timed.ms) >= 30
    assert min(timed.ms) > 0
    assert timed.peak_rss_bytes > 10 << 20
    got = decode_tensors(out.read_bytes(), where="out")["logits"]
    evaluation = Bundle.open(DIGITS).evaluation()
    assert evaluation is not None
    assert got.shape == (100, 10)
    assert float(np.mean(got.argmax(-1) == evaluation[1][:100])) > 0.9


def test_a_model_of_another_form_is_refused(tmp_path: Path) -> None:
    """Other names or shapes are no variant of the bundle."""
    other = root_model(tmp_path / "root")
    with pytest.raises(ChildError, match=r"inputs|outputs|shape"):
        open_probe(DIGITS, contender(model=other.path / "model.onnx"))


def test_what_is_no_number_is_no_answer(tmp_path: Path) -> None:
    """A variant that gives NaN on real data fails, whatever its speed."""
    bundle = root_model(tmp_path / "root")
    probe = Probe()
    opened = probe.handle(Open(str(bundle.path), str(bundle.path / "model.onnx"), PLAIN, 1))
    assert isinstance(opened, Opened)
    with pytest.raises(BackendError, match="no evaluation data"):
        probe.handle(Answer(DataSet.EVALUATION, 1, str(tmp_path / "out")))
    timed = probe.handle(Time(1.0, 5))
    assert isinstance(timed, Timed)
    assert len(timed.ms) >= 5


def test_contenders_are_timed_in_rounds_together(tmp_path: Path) -> None:
    """Each round has one turn of each; who cannot be loaded has a reason, and the others go on."""
    rounds = []
    found = time_together(
        DIGITS,
        [contender("a"), contender("b"), contender("broken", tmp_path / "none.onnx")],
        budget_s=1.0,
        tell=lambda at, of: rounds.append((at, of)),
    )
    for name in ("a", "b"):
        timing = found[name]
        # Beside other programs rounds are repeated, and the last two may be left out.
        assert ROUNDS - 2 <= len(timing.rounds_ms) <= ROUNDS
        assert len(timing.all_ms) >= len(timing.rounds_ms) * 5
        assert timing.failure == ""
    assert "none.onnx" in found["broken"].failure
    assert rounds[0] == (1, ROUNDS)


def test_what_is_timed_is_the_golden_row(tmp_path: Path) -> None:
    """The engine reads the bound arrays again with each run; they must live as long."""
    bundle = root_model(tmp_path / "root")
    probe = Probe()
    probe.handle(Open(str(bundle.path), str(bundle.path / "model.onnx"), PLAIN, 1))
    for _ in range(20):
        probe.handle(Time(0.0, 3))
        # What was freed would be written over.
        noise = [np.full((1, 4), -1.0, np.float32) for _ in range(64)]
        inputs, outputs = probe._bound
        assert np.all(inputs[0] == 1.0)
        assert np.all(outputs[0] == 1.0)
        del noise
