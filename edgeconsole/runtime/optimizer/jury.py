"""How well a variant answers: by the bundle's metric where there are labels, else as the original.

As the original is where the same class is chosen, if the bundle says that its first output holds
scores of classes; the largest of an embedding's numbers is no choice, so its values count.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import Manifest, Task
from edgeconsole.bundle.metrics import METRICS
from edgeconsole.bundle.metrics.classes import ERROR_RATE, TOP5_ACCURACY
from edgeconsole.bundle.metrics.overlap import F1
from edgeconsole.bundle.metrics.sequences import PHONEME_ERROR_RATE, SEQUENCE_ERROR_RATE
from edgeconsole.bundle.tensorfile import decode_tensors
from edgeconsole.errors import BackendError, BundleError
from edgeconsole.protocol.optimization import AGREEMENT, CLOSENESS, UNLABELLED
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.children import Child
from edgeconsole.runtime.optimizer.figures import DropUnit
from edgeconsole.runtime.optimizer.ledger import Judgement
from edgeconsole.runtime.optimizer.stats import (
    PairedDrop,
    Scored,
    agreement_rows,
    closeness,
    paired_drop,
)
from edgeconsole.runtime.optimizer.words import Answer, DataSet

MOST_ROWS: Final = 10_000
_TIMEOUT_S: Final = 600.0
_DIGITS: Final = 6
_OF_SCORES: Final = frozenset(
    each.name for each in (TOP5_ACCURACY, ERROR_RATE, F1, SEQUENCE_ERROR_RATE, PHONEME_ERROR_RATE)
)
_LEAST_CLOSE: Final = 0.9
"""Of outputs that labels say nothing of, such as a state that the next call gets back."""


def scores_classes(manifest: Manifest) -> bool:
    """Say whether the first output is declared to hold scores of two or more classes in its last axis.

    By the task, or by a metric that somebody chose: `accuracy` is what all have where nobody did.
    """
    shape = manifest.outputs[0].shape
    declared = manifest.task is Task.CLASSIFICATION or manifest.metric in _OF_SCORES
    return declared and len(shape) > 1 and shape[-1] != 1


class _Agreement:
    """How far each row's answer agrees, as something that can be resampled."""

    def __init__(self, rows: npt.NDArray[np.float64]) -> None:
        self._rows = rows

    def value(self, rows: Array | None = None) -> float:
        """Return the mean over all rows, or over those drawn."""
        return float((self._rows if rows is None else self._rows[rows]).mean())


class Jury:
    """Compares variants with the original on the same rows."""

    def __init__(self, bundle: Bundle, *, seed: int) -> None:
        self._names = [spec.name for spec in bundle.manifest.outputs]
        self._labels: Array | None = None
        self._seed = seed
        self._scores = scores_classes(bundle.manifest)
        by_values = bundle.manifest.outputs[0].datatype.is_float and not self._scores
        self._unlabelled = CLOSENESS if by_values else AGREEMENT
        self.metric = self._unlabelled
        self.doubt = ""
        """Why the bundle's metric cannot be used, where it has one."""
        pair = bundle.evaluation()
        calibration = bundle.calibration() if pair is None else None
        if pair is not None:
            self.data, inputs = DataSet.EVALUATION, pair[0]
            self._labels = pair[1]
            self.metric = bundle.manifest.metric
        elif calibration is not None:
            self.data, inputs = DataSet.CALIBRATION, calibration
        else:
            self.data, inputs = DataSet.GOLDEN, bundle.golden()[0]
        self.rows = min(MOST_ROWS, len(next(iter(inputs.values()))))
        self._original: dict[str, Array] = {}
        self._scored: Scored | None = None

    @property
    def said(self) -> str:
        """Return what variants are judged on, for people."""
        where = f"{self.data} data, {self.rows} rows"
        if self.metric not in UNLABELLED:
            return f"{self.metric} on {where}"
        how = "agreement with" if self.metric == AGREEMENT else "closeness to"
        return f"{how} the original on {where}" + (f" ({self.doubt})" if self.doubt else "")

    @property
    def unit(self) -> DropUnit:
        """Return what drops are counted in."""
        if self.metric in UNLABELLED or METRICS[self.metric].is_share:
            return DropUnit.POINTS
        return DropUnit.PERCENT

    def take_original(self, outputs: dict[str, Array]) -> float | None:
        """Take in the original's answers; returns its metric's value, `None` without labels.

        Labels that do not fit the metric are no reason to stop: what is left is the original.
        """
        self._original = outputs
        if self._labels is None:
            return None
        try:
            self._scored = METRICS[self.metric].prepare(outputs, self._labels[: self.rows])
            return self._scored.value()
        except (BundleError, KeyError) as error:
            self.doubt = error.message if isinstance(error, BundleError) else "unknown metric"
            self.metric, self._labels = self._unlabelled, None
            return None

    def judge(self, outputs: Mapping[str, Array]) -> Judgement:
        """Compare a variant's answers with the original's.

        Raises:
            BundleError: they do not fit the labels.
            BackendError: an output that labels do not judge is far from the original's.
        """
        agrees = agreement_rows(self._original, outputs, scores=self._scores)
        share = float(agrees.mean())
        if self._labels is None or self._scored is None:
            found = self._compared(_Agreement(np.ones_like(agrees)), _Agreement(agrees))
            return _judgement(None, found, share)
        self._check_unjudged(outputs)
        metric = METRICS[self.metric]
        scored = metric.prepare(outputs, self._labels[: self.rows])
        found = self._compared(self._scored, scored, higher_is_better=metric.higher_is_better)
        return _judgement(found.variant, found, share)

    def _check_unjudged(self, outputs: Mapping[str, Array]) -> None:
        """Raise `BackendError` if an output beside the first is far off: errors in a state add up."""
        for name, ours in list(self._original.items())[1:]:
            if ours.dtype.kind != "f":
                continue
            off = 1.0 - float(closeness(ours, outputs[name]).mean())
            if off > 1.0 - _LEAST_CLOSE:
                raise BackendError(
                    f"output {name!r}, of which the labels say nothing, is {off:.0%} off the "
                    f"original's, at most {1.0 - _LEAST_CLOSE:.0%} is allowed"
                )

    def _compared(
        self, original: Scored, variant: Scored, *, higher_is_better: bool = True
    ) -> PairedDrop:
        return paired_drop(
            original,
            variant,
            self.rows,
            self._seed,
            unit=self.unit,
            higher_is_better=higher_is_better,
        )

    def ask(self, probe: Child, out: Path, data: DataSet | None = None) -> dict[str, Array]:
        """Have a probe answer the data; returns the outputs by name. Raises `ChildError`."""
        probe.ask(Answer(data or self.data, self.rows, str(out)), timeout_s=_TIMEOUT_S)
        try:
            tensors = decode_tensors(out.read_bytes(), where=str(out))
            # The file has its own order; the first of the manifest's outputs is what metrics judge.
            return {name: tensors[name] for name in self._names}
        finally:
            out.unlink(missing_ok=True)


def _judgement(value: float | None, found: PairedDrop, agrees: float) -> Judgement:
    """Round drops: 52.5 less 51.5 is a little more than 1 in floating point, and 1 is allowed."""
    drop = None if found.drop is None else round(found.drop, _DIGITS)
    span = found.interval and (round(found.interval[0], _DIGITS), round(found.interval[1], _DIGITS))
    return Judgement(value, drop, span, agrees)
