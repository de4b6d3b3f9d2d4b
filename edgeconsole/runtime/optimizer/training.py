"""Training a smaller model from the original's outputs on calibration rows; needs torch.

No label is used: the original answers every row, also mixtures of two rows, and the student learns
to answer alike. Source of the mixtures: Beyer et al., "Knowledge distillation: A good teacher is
patient and consistent", CVPR 2022.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch.fx import GraphModule

from edgeconsole.bundle import Task
from edgeconsole.packer.reason import one_sentence
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.build_words import BuildError, BuildProgress
from edgeconsole.runtime.optimizer.losses import TeacherLoss
from edgeconsole.runtime.optimizer.schedule import Course, Schedule
from edgeconsole.runtime.optimizer.trainable import (
    attribute,
    batch_norms,
    run_rows,
    take_rows,
    training_twin,
)

Progress = Callable[[BuildProgress], None]

_BATCH: Final = 32
_STATISTICS_ROWS: Final = 512
_HELD_SHARE: Final = 0.1
_MOST_HELD: Final = 500
_EXAM_ROWS: Final = 256
"""Held-out rows and mixtures of them: a loss on a dozen rows alone stops training too early."""
_LONGEST_STEP: Final = 1.0
"""The norm that gradients are cut to."""


@dataclass(frozen=True)
class Original:
    """The model to learn from, and calibration rows `[rows, ...]` in the order of its inputs."""

    module: GraphModule
    task: Task
    rows: tuple[torch.Tensor, ...]
    batch: int | None = None
    """The only batch size the model takes; `None` if it takes any."""

    @classmethod
    def of(
        cls, module: GraphModule, task: Task, rows: Mapping[str, Array], batch: int | None
    ) -> Original:
        """Return the original with its rows as tensors of their own."""
        tensors = tuple(torch.from_numpy(array.copy()) for array in rows.values())
        return cls(module, task, tensors, batch)


@dataclass(frozen=True)
class Outcome:
    """What training came to, on rows it was not trained on."""

    steps: int
    loss: float
    agreement: float | None
    """How often student and original choose the same class; `None` for other tasks."""
    held_rows: int
    is_cut: bool
    """Whether the deadline ended or shortened it."""

    @property
    def note(self) -> str:
        """Return the outcome in words."""
        told = f"{self.steps} steps of training"
        if self.is_cut:
            told += " (cut by the time limit)"
        if self.agreement is None:
            return f"{told}, loss {self.loss:.4g} on {self.held_rows} held-out rows"
        same = round(self.agreement * 100, 1)
        return f"{told}, answers as the original on {same} % of {self.held_rows} held-out rows"


class Lessons:
    """Teaches students of one original; the rows are split once, by seed."""

    def __init__(self, original: Original, schedule: Schedule) -> None:
        """Split the rows; raises `BuildError` if they are too few to hold some out."""
        self._schedule = schedule
        self._teacher = original.module
        self._random = torch.Generator().manual_seed(schedule.seed)
        unit = original.batch or 1
        count = original.rows[0].shape[0]
        order = torch.randperm(count, generator=self._random)
        held = max(1, math.ceil(min(count * _HELD_SHARE, _MOST_HELD) / unit)) * unit
        if count - held < max(unit, 2):
            raise BuildError(f"{count} calibration rows are too few to hold some out")
        self._held = [row[order[:held]] for row in original.rows]
        self._rows = [row[order[held:]] for row in original.rows]
        self._batch = original.batch or min(_BATCH, count - held)
        self._mixes = all(row.is_floating_point() for row in original.rows)
        self._exam = self._widened(self._held)
        self._exam_answers = run_rows(self._teacher, self._exam, self._batch)
        self._held_answers = run_rows(self._teacher, self._held, self._batch)
        self._loss = TeacherLoss(original.task, self._exam_answers, schedule.temperature)

    def teach(self, student: GraphModule, progress: Progress) -> Outcome:
        """Train a student in place and leave it with its best weights and exact statistics.

        Raises `BuildError` if the student cannot be trained, diverges, or the deadline comes
        before the first judgement.
        """
        weights = [value for value in student.parameters() if value.is_floating_point()]
        for value in weights:
            value.requires_grad_(True)
        try:
            return self._teach(student, weights, progress)
        except (RuntimeError, ValueError) as error:
            raise BuildError(f"the model cannot be trained: {one_sentence(error)}") from error
        finally:
            for value in weights:
                value.requires_grad_(False)

    def _teach(
        self, student: GraphModule, weights: list[torch.nn.Parameter], progress: Progress
    ) -> Outcome:
        twin = self._twin(student)
        best_loss, best = self._judge(student, twin), copy.deepcopy(student.state_dict())
        optimizer = torch.optim.AdamW(weights, weight_decay=0.0)
        course, is_judged = Course(self._schedule), False
        while course.goes_on():
            self._step(twin, weights, optimizer, course.rate())
            if not course.advance():
                continue
            loss, is_judged = self._judge(student, twin), True
            if math.isnan(loss):
                break
            is_best = not best_loss <= loss  # the first may be NaN
            if is_best:
                best_loss, best = loss, copy.deepcopy(student.state_dict())
            course.judged(is_best=is_best)
            progress(BuildProgress(stage="train", done=course.done, of=course.steps, loss=loss))
        if course.is_cut and not is_judged:
            raise BuildError("the time limit ended the training before it had a result")
        if not math.isfinite(best_loss):
            raise BuildError("the training diverged")
        student.load_state_dict(best)
        answers = run_rows(student, self._held, self._batch)
        return Outcome(
            steps=course.done,
            loss=best_loss,
            agreement=self._loss.agreement(answers, self._held_answers),
            held_rows=self._held[0].shape[0],
            is_cut=course.is_cut,
        )

    def _twin(self, student: GraphModule) -> GraphModule:
        """Return the module to train: batch norms use a batch's statistics, if a batch has any."""
        twin = training_twin(student)
        before = copy.deepcopy(student.state_dict())
        with torch.no_grad():
            twin(*take_rows(self._rows, 0, self._batch))
        # A single value for each channel has no variance.
        has_spread = all(bool(value.isfinite().all()) for value in _statistics(student))
        student.load_state_dict(before)
        return twin if has_spread else student

    def _judge(self, student: GraphModule, twin: GraphModule) -> float:
        """Return the loss on the held-out rows and mixtures of them.

        Batch norms get the statistics of the training rows first.
        """
        if twin is not student:
            self._recalibrate(student, twin)
        answers = run_rows(student, self._exam, self._batch)
        return float(self._loss(answers, self._exam_answers))

    def _recalibrate(self, student: GraphModule, twin: GraphModule) -> None:
        """Set the batch norms' statistics to the mean over batches of real rows, not mixtures.

        A pruned net's old statistics are wrong: channels that fed each sum are gone.
        """
        statistics = _statistics(student)
        if not statistics:
            return
        count = min(self._rows[0].shape[0], _STATISTICS_ROWS)
        totals = [torch.zeros_like(buffer) for buffer in statistics]
        batches = 0
        with torch.no_grad():
            for first in range(0, count - self._batch + 1, self._batch):
                twin(*take_rows(self._rows, first, self._batch))
                for total, buffer in zip(totals, statistics, strict=True):
                    total.add_(buffer)
                batches += 1
            for total, buffer in zip(totals, statistics, strict=True):
                buffer.copy_(total / batches)

    def _step(
        self,
        twin: GraphModule,
        weights: list[torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
        rate: float,
    ) -> None:
        batch = self._draw()
        with torch.no_grad():
            wanted = self._teacher(*(values.clone() for values in batch))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = self._loss(twin(*batch), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, _LONGEST_STEP)
        optimizer.step()

    def _draw(self) -> list[torch.Tensor]:
        """Return a batch of rows; the first half are mixtures if the inputs are floats."""
        shares = torch.ones(self._batch)
        if self._mixes:
            half = self._batch // 2
            shares[:half] = torch.rand(half, generator=self._random)
        return self._mixed(self._rows, shares)

    def _widened(self, rows: list[torch.Tensor]) -> list[torch.Tensor]:
        """Add mixtures to a few rows, because a loss on few rows says little."""
        missing = (_EXAM_ROWS - rows[0].shape[0]) // self._batch * self._batch
        if not self._mixes or missing <= 0:
            return rows
        mixtures = self._mixed(rows, torch.rand(missing, generator=self._random))
        return [torch.cat(pair) for pair in zip(rows, mixtures, strict=True)]

    def _mixed(self, rows: list[torch.Tensor], shares: torch.Tensor) -> list[torch.Tensor]:
        """Return as many drawn rows as there are shares; what a share leaves is another row's."""
        count, size = rows[0].shape[0], shares.shape[0]
        picked = torch.randint(count, (size,), generator=self._random)
        others = torch.randint(count, (size,), generator=self._random)
        if not self._mixes:
            return [row[picked] for row in rows]
        found = []
        for row in rows:
            weight = shares.to(row.dtype).reshape(size, *(1 for _ in row.shape[1:]))
            found.append(weight * row[picked] + (1 - weight) * row[others])
        return found


def _statistics(module: GraphModule) -> list[torch.Tensor]:
    """Return the running means and variances of all batch norms."""
    return [
        attribute(module, str(source.target))
        for node in batch_norms(module.graph)
        for source in (node.args[3], node.args[4])
        if isinstance(source, torch.fx.Node)
    ]
