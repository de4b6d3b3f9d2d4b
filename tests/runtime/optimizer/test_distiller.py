"""Students learn from the original's answers alone, and refuse what cannot teach them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeconsole.bundle import Bundle, Task
from edgeconsole.demo.data import bundle_path
from edgeconsole.packer.quiet import quiet
from edgeconsole.runtime.optimizer.build_words import BuildError, BuildProgress, Start
from edgeconsole.runtime.optimizer.building import load_graph
from edgeconsole.runtime.optimizer.distiller import KnowledgeDistiller, Student
from edgeconsole.runtime.optimizer.losses import TeacherLoss
from edgeconsole.runtime.optimizer.schedule import Course, Schedule
from edgeconsole.runtime.optimizer.trainable import graph_module, weight_count
from edgeconsole.runtime.optimizer.training import Original


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def digits() -> Original:
    """Return the demo's model with its calibration rows."""
    bundle = Bundle.open(bundle_path("digits"))
    rows = bundle.calibration()
    return Original.of(load_graph(bundle), Task.CLASSIFICATION, rows, None)


def exported(net: nn.Module, rows: torch.Tensor, task: Task) -> Original:
    """Export a net as the packer does."""
    batch = torch.export.Dim("batch", min=1)
    with quiet(), torch.no_grad():
        shapes = ({0: batch},)
        program = torch.export.export(
            net.eval().requires_grad_(requires_grad=False), (rows[:2],), dynamic_shapes=shapes
        )
    return Original(graph_module(program), task, (rows,))


def mlp(hidden: int) -> nn.Sequential:
    """Return two layers, six values to three."""
    return nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 3))


@pytest.mark.parametrize("start", list(Start))
def test_derived_student(digits: Original, start: Start) -> None:
    """Half the width learns to answer as the original, from its weights or from random ones."""
    told: list[BuildProgress] = []
    schedule = Schedule(steps=300, learning_rate=3e-3)
    made = KnowledgeDistiller(digits).distil(Student(0.5, start), schedule, told.append)
    with torch.no_grad():
        answers = [net(*digits.rows)[0].argmax(1) for net in (digits.module, made.module)]
    agreement = float((answers[0] == answers[1]).float().mean())
    print(f"seed 0, {start}: agreement {agreement:.3f}; {made.note}")
    assert agreement >= 0.85
    assert weight_count(made.module) < 0.4 * weight_count(digits.module)
    assert start in made.note
    losses = [line.loss for line in told if line.stage == "train"]
    assert min(losses) <= losses[0]


def test_same_seed_same_weights(digits: Original) -> None:
    """The seed decides the weights, bit for bit, and nobody else's random numbers do."""
    states = []
    for seed in (3, 3, 4):
        torch.rand(seed)
        schedule = Schedule(steps=20, learning_rate=3e-3, seed=seed)
        module = KnowledgeDistiller(digits).distil(Student(0.3, Start.FRESH), schedule).module
        states.append([value.numpy().tobytes() for value in module.state_dict().values()])
    assert states[0] == states[1] != states[2]


def test_regression() -> None:
    """Outputs that are no scores are learned by their distance, whatever their size."""
    source = exported(mlp(32), torch.randn(200, 6), Task.REGRESSION)
    with torch.no_grad():
        for value in list(source.module.parameters())[2:]:
            value.mul_(1000.0)
    made = KnowledgeDistiller(source).distil(Student(0.5), Schedule(300, 1e-2))
    assert made.outcome.agreement is None
    assert made.outcome.loss < 0.2
    assert "loss" in made.note


def test_declared_student() -> None:
    """A student of another architecture is taught; one that does not fit is refused."""
    source = exported(mlp(64), torch.randn(100, 6), Task.CLASSIFICATION)
    small = exported(mlp(8), torch.randn(100, 6), Task.CLASSIFICATION).module
    before = [value.clone() for value in small.parameters()]
    made = KnowledgeDistiller(source).distil(Student(declared=small), Schedule(200, 1e-2))
    assert weight_count(made.module) == weight_count(small) < weight_count(source.module)
    assert all(torch.equal(*pair) for pair in zip(before, small.parameters(), strict=True))
    other = exported(nn.Linear(6, 4), torch.randn(100, 6), Task.CLASSIFICATION).module
    with pytest.raises(BuildError, match="outputs"):
        KnowledgeDistiller(source).distil(Student(declared=other), Schedule(10, 1e-2))


def test_too_few_rows() -> None:
    """Below fifty rows distillation is refused with the numbers."""
    source = exported(mlp(16), torch.randn(49, 6), Task.CLASSIFICATION)
    with pytest.raises(BuildError, match="49 calibration rows are too few"):
        KnowledgeDistiller(source).distil(Student(), Schedule(10, 1e-2))


def test_probabilities_and_logits() -> None:
    """A model that ends in a softmax is compared as one that does not; equal outputs cost nothing."""
    logits, other = torch.randn(9, 5), torch.randn(9, 5)
    losses = []
    for form in (lambda x: x, lambda x: x.softmax(-1), lambda x: x.log_softmax(-1)):
        loss = TeacherLoss(Task.CLASSIFICATION, [form(logits)], 2.0)
        assert float(loss([form(logits)], [form(logits)])) == pytest.approx(0.0, abs=1e-6)
        losses.append(float(loss([form(other)], [form(logits)])))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)


def test_no_float_output() -> None:
    """A model that gives only class numbers cannot teach."""
    with pytest.raises(BuildError, match="float"):
        TeacherLoss(Task.CLASSIFICATION, [torch.arange(3)], 2.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Put a clock that a test moves in the place of the system's."""
    now = [0.0]
    monkeypatch.setattr("edgeconsole.runtime.optimizer.schedule.time.monotonic", lambda: now[0])
    return now


def run_course(course: Course, clock: list[float], *, step_s: float, judge_s: float) -> float:
    """Go through a course on which every judgement is the best yet; return its last rate."""
    rate = 0.0
    while course.goes_on():
        rate = course.rate()
        clock[0] += step_s
        if course.advance():
            clock[0] += judge_s
            course.judged(is_best=True)
    return rate


def test_course_without_limit(clock: list[float]) -> None:
    """All steps are taken, the last with a rate of almost nothing."""
    course = Course(Schedule(400, 0.1))
    assert run_course(course, clock, step_s=1.0, judge_s=1.0) < 1e-4
    assert (course.done, course.is_cut) == (400, False)


@pytest.mark.parametrize("step_s", [0.1, 1.0, 7.0])
def test_course_fits_its_deadline(clock: list[float], step_s: float) -> None:
    """A course that would take too long becomes shorter, so that the rate still falls to its end."""
    course = Course(Schedule(10_000, 0.1, deadline_s=100.0))
    last = run_course(course, clock, step_s=step_s, judge_s=step_s)
    assert course.is_cut
    assert 70.0 < clock[0] <= 100.0 + 2 * step_s
    assert last < 0.03


def test_course_stops_early(clock: list[float]) -> None:
    """When the loss no longer falls, training ends before its time."""
    course = Course(Schedule(1000, 0.1))
    while course.goes_on():
        if course.advance():
            course.judged(is_best=course.done <= 200)
    assert course.done == 550
    assert not course.is_cut
