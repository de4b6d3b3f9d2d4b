"""`ModelPruner`: takes whole channels out of a model, then teaches what is left; needs torch.

Nothing is masked: tensors get smaller, so every engine gets faster. Channels are found on the
exported graph (`walk.py`), so any model that was packed can be tried. Source: Fang et al., "DepGraph:
Towards Any Structural Pruning", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.fx import GraphModule

from edgeconsole.runtime.optimizer.build_words import BuildError, BuildProgress, Scope
from edgeconsole.runtime.optimizer.groups import Groups
from edgeconsole.runtime.optimizer.schedule import Schedule
from edgeconsole.runtime.optimizer.surgery import remove_channels
from edgeconsole.runtime.optimizer.trainable import weight_bytes, weight_count
from edgeconsole.runtime.optimizer.training import Lessons, Original, Outcome
from edgeconsole.runtime.optimizer.walk import OUTPUT_REASON, Walk
from edgeconsole.runtime.optimizer.walk_rules import RULES

RECOVERY_STEPS: Final = 1000
RECOVERY_RATE: Final = 2e-3
MIN_RECOVERY_ROWS: Final = 20
_WALK_ROWS: Final = 7
"""Rows of the run that shows shapes: a number that layers seldom have."""
_MOST_REASONS: Final = 2


@dataclass(frozen=True)
class Target:
    """How much to remove: a share of the channels that can go, or down to a size of weights."""

    share: float = 0.5
    size_bytes: int | None = None
    scope: Scope = Scope.GROUP


@dataclass(frozen=True)
class Cut:
    """A model without some of its channels, not yet fit for use."""

    module: GraphModule
    removed: int
    channels: int
    groups: int
    pinned: list[str]
    """Why other channels stay, if not because they are the model's outputs."""

    def note(self, original: GraphModule) -> str:
        """Return in words what was removed."""
        told = (
            f"removed {self.removed} of {self.channels} channels in {self.groups} groups, "
            f"parameters {weight_count(original)} to {weight_count(self.module)}, "
            f"weights {weight_bytes(original)} to {weight_bytes(self.module)} bytes"
        )
        if self.pinned:
            told += f"; others stay: {'; '.join(self.pinned[:_MOST_REASONS])}"
        return told


@dataclass(frozen=True)
class Pruned:
    """A pruned and recovered model."""

    module: GraphModule
    outcome: Outcome
    note: str


class ModelPruner:
    """Prunes one model by structure and recovers it from its own former answers."""

    def __init__(self, original: Original) -> None:
        self._original = original

    def prune(
        self,
        target: Target,
        schedule: Schedule,
        progress: Callable[[BuildProgress], None] = lambda _: None,
    ) -> Pruned:
        """Remove channels, then train on the calibration rows until it no longer helps.

        The original is not changed. Raises `BuildError` if nothing can be removed, the rows are
        fewer than `MIN_RECOVERY_ROWS`, or the training fails or has no time.
        """
        rows = self._original.rows[0].shape[0]
        if rows < MIN_RECOVERY_ROWS:
            raise BuildError(
                f"{rows} calibration rows are too few to recover a pruned model, "
                f"{MIN_RECOVERY_ROWS} are needed"
            )
        lessons = Lessons(self._original, schedule)
        progress(BuildProgress(stage="prune", done=0, of=1))
        cut = cut_channels(self._original, target)
        progress(BuildProgress(stage="prune", done=1, of=1))
        outcome = lessons.teach(cut.module, progress)
        return Pruned(cut.module, outcome, f"{cut.note(self._original.module)}; {outcome.note}")


def cut_channels(original: Original, target: Target) -> Cut:
    """Return a copy of the original without channels; it still has to learn.

    Raises `BuildError` with the reason if there is nothing to remove.
    """
    with torch.no_grad():
        walk = Walk(original.module, _examples(original), RULES)
    groups = Groups(walk)
    if not groups.groups:
        why = "; ".join(groups.reasons()[:_MOST_REASONS]) or "it has no channels"
        raise BuildError(f"nothing can be pruned: {why}")
    if target.size_bytes is None:
        removed = groups.choose(target.share, target.scope)
    else:
        removed = groups.choose_for_size(target.size_bytes, target.scope)
    if not removed and target.share > 0:
        raise BuildError("nothing can be pruned: its layers have too few channels for this share")
    module = remove_channels(walk, removed)
    pinned = [reason for reason in groups.reasons() if reason != OUTPUT_REASON]
    return Cut(module, len(removed), groups.channels, len(groups.groups), pinned)


def _examples(original: Original) -> list[torch.Tensor]:
    """Return rows to run once; repeated where there are too few."""
    count = original.batch or _WALK_ROWS
    return [row[torch.arange(count) % row.shape[0]] for row in original.rows]
