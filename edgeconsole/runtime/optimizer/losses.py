"""How far a student's outputs are from its teacher's, for one output and for all; needs torch.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: the divergence of
softened class probabilities, times the square of the temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch.nn import functional

from edgeconsole.bundle import Task
from edgeconsole.runtime.optimizer.build_words import BuildError

Outputs = Sequence[torch.Tensor]
OutputLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of a student's output and the teacher's, `[rows, ...]` both; a scalar."""

_TINY: Final = 1e-8
_SUM_TOLERANCE: Final = 1e-3


class TeacherLoss:
    """The sum over all float outputs; each is scaled so that its own size does not matter."""

    def __init__(self, task: Task, outputs: Outputs, temperature: float) -> None:
        """Choose a loss for each output from what the teacher gives on calibration data.

        The first output of a classification model holds scores of classes in its last dimension:
        logits, or probabilities if they are positive and sum to one. All others are regressed.
        Raises `BuildError` if no output is a float.
        """
        self._losses: list[tuple[int, OutputLoss]] = []
        self.scores: int | None = None
        """The output that decides the class."""
        for number, output in enumerate(outputs):
            if not output.is_floating_point():
                continue
            if task is Task.CLASSIFICATION and number == 0 and output.ndim and output.shape[-1] > 1:
                self.scores = number
                self._losses.append((number, _divergence(output, temperature)))
            else:
                self._losses.append((number, _scaled_error(output)))
        if not self._losses:
            raise BuildError("no output of the model is a float, so nothing can be learned from it")

    def __call__(self, got: Outputs, wanted: Outputs) -> torch.Tensor:
        """Return the loss, a scalar."""
        return torch.stack(
            [loss(got[number], wanted[number]) for number, loss in self._losses]
        ).sum()

    def agreement(self, got: Outputs, wanted: Outputs) -> float | None:
        """Return how often both choose the same class; `None` if no output holds scores."""
        if self.scores is None:
            return None
        same = got[self.scores].argmax(dim=-1) == wanted[self.scores].argmax(dim=-1)
        return float(same.float().mean())


def _divergence(sample: torch.Tensor, temperature: float) -> OutputLoss:
    sums = sample.sum(dim=-1)
    positive = bool((sample >= 0).all())
    is_probability = positive and bool(((sums - 1.0).abs() < _SUM_TOLERANCE).all())

    def softened(scores: torch.Tensor) -> torch.Tensor:
        logits = scores.clamp_min(_TINY).log() if is_probability else scores
        return functional.log_softmax(logits / temperature, dim=-1)

    def loss(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        target = softened(wanted)
        each = (target.exp() * (target - softened(got))).sum(dim=-1)
        return each.mean() * temperature**2

    return loss


def _scaled_error(sample: torch.Tensor) -> OutputLoss:
    spread = float(sample.double().var(unbiased=False)) if sample.numel() else 0.0
    scale = 1.0 / spread if spread > _TINY else 1.0

    def loss(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(got, wanted) * scale

    return loss
