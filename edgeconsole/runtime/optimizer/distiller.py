"""`KnowledgeDistiller`: a smaller student that learns from the original's answers; needs torch.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. Labels are not needed:
with 1,000 real inputs the teacher alone teaches as well as labels do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.fx import GraphModule, Node

from edgeconsole.runtime.optimizer.build_words import BuildError, BuildProgress, Start
from edgeconsole.runtime.optimizer.pruner import Target, cut_channels
from edgeconsole.runtime.optimizer.schedule import Schedule
from edgeconsole.runtime.optimizer.trainable import (
    attribute,
    copy_module,
    operator_name,
    weight_bytes,
    weight_count,
)
from edgeconsole.runtime.optimizer.training import Lessons, Original, Outcome
from edgeconsole.runtime.optimizer.walk import arguments

DISTIL_STEPS: Final = 2000
DISTIL_RATE: Final = 3e-3
MIN_DISTIL_ROWS: Final = 50
_NORMS: Final = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm"})
_WEIGHTED: Final = ("conv", "linear")


@dataclass(frozen=True)
class Student:
    """What to teach: the original's architecture at a share of its width, or a declared module."""

    width: float = 0.5
    start: Start = Start.KEPT
    declared: GraphModule | None = None


@dataclass(frozen=True)
class Distilled:
    """A trained student."""

    module: GraphModule
    outcome: Outcome
    note: str


class KnowledgeDistiller:
    """Trains students of one model on its calibration rows."""

    def __init__(self, original: Original) -> None:
        self._original = original

    def distil(
        self,
        student: Student,
        schedule: Schedule,
        progress: Callable[[BuildProgress], None] = lambda _: None,
    ) -> Distilled:
        """Make the student and train it until held-out rows say that it no longer helps.

        The original is not changed, nor is a declared student. Raises `BuildError` if the rows
        are fewer than `MIN_DISTIL_ROWS`, no student can be derived, a declared one does not fit,
        or the training fails or has no time.
        """
        rows = self._original.rows[0].shape[0]
        if rows < MIN_DISTIL_ROWS:
            raise BuildError(
                f"{rows} calibration rows are too few to distil from, {MIN_DISTIL_ROWS} are needed"
            )
        lessons = Lessons(self._original, schedule)
        progress(BuildProgress(stage="prune", done=0, of=1))
        module, told = self._make(student, schedule.seed)
        progress(BuildProgress(stage="prune", done=1, of=1))
        outcome = lessons.teach(module, progress)
        return Distilled(module, outcome, f"{told}; {outcome.note}")

    def _make(self, student: Student, seed: int) -> tuple[GraphModule, str]:
        original = self._original.module
        if student.declared is not None:
            module = copy_module(student.declared)
            self._check_fits(module)
            return module, (
                f"a declared student, parameters {weight_count(original)} to "
                f"{weight_count(module)}, weights {weight_bytes(module)} bytes"
            )
        cut = cut_channels(self._original, Target(share=1.0 - student.width))
        if student.start is Start.FRESH:
            draw_weights(cut.module, seed)
        return cut.module, f"a student from {student.start} weights: {cut.note(original)}"

    def _check_fits(self, module: GraphModule) -> None:
        """Check that a declared student takes the rows and answers in the original's shapes."""
        count = self._original.batch or 2
        rows = [row[:count] for row in self._original.rows]
        with torch.no_grad():
            wanted = self._original.module(*rows)
            try:
                got = module(*rows)
            except Exception as error:  # a student may raise anything
                raise BuildError("the student does not take the original's inputs") from error
        shapes = [[(tuple(out.shape), out.dtype) for out in outs] for outs in (got, wanted)]
        if shapes[0] != shapes[1]:
            raise BuildError(f"the student's outputs are {shapes[0]}, the original's {shapes[1]}")


def draw_weights(module: GraphModule, seed: int) -> None:
    """Give every layer the weights that a new one starts with, in place.

    Convolutions and linear layers are drawn as `torch.nn` draws them, normalisations become the
    identity; weights of other operators are kept, because nobody knows what they mean.
    """
    random = torch.Generator().manual_seed(seed)
    done: set[int] = set()
    for node in module.graph.nodes:
        given = arguments(node) if node.op == "call_function" else {}
        name = operator_name(node)
        if name in _NORMS:
            for argument, value in (
                ("weight", 1.0),
                ("bias", 0.0),
                ("running_mean", 0.0),
                ("running_var", 1.0),
            ):
                tensor = _tensor(module, given.get(argument))
                if tensor is not None:
                    tensor.data.fill_(value)
        elif name.startswith(_WEIGHTED):
            weight = _tensor(module, given.get("weight"))
            if weight is None or id(weight) in done:
                continue
            done.add(id(weight))
            bound = 1.0 / math.sqrt(max(1, weight[0].numel()))
            for tensor in (weight, _tensor(module, given.get("bias"))):
                if tensor is not None:
                    tensor.data.uniform_(-bound, bound, generator=random)


def _tensor(module: GraphModule, node: object) -> torch.Tensor | None:
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value = attribute(module, str(node.target))
    return value if isinstance(value, torch.Tensor) else None
