"""How well scores tell two classes apart, whatever the threshold: `auc`, `average_precision`."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edgeconsole.bundle.metrics.labels import check_two_classes
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.scored import Ranked
from edgeconsole.protocol.tensors import Array, TensorSpec


def _check_both(name: str, labels: Array, output: TensorSpec) -> None:
    check_two_classes(name, labels, output, both=True)


def _check_positive(name: str, labels: Array, output: TensorSpec) -> None:
    check_two_classes(name, labels, output, both=False)


def _auc(_name: str, values: Array, labels: Array) -> Ranked:
    return Ranked(*_rank(values, labels), _auc_of)


def _average_precision(_name: str, values: Array, labels: Array) -> Ranked:
    return Ranked(*_rank(values, labels), _average_precision_of)


def _rank(values: Array, labels: Array) -> tuple[Array, Array, Array]:
    scores, positive = values.reshape(-1), labels.reshape(-1).astype(np.float64)
    order = np.argsort(scores)
    climbing = scores[order]
    new = np.append(True, climbing[1:] != climbing[:-1])
    return order, np.flatnonzero(new), positive[order]


def _auc_of(positives: Array, negatives: Array) -> float:
    """Return the share of pairs, one row of each class, that the scores order rightly.

    Pairs with equal scores count half. This is the area under the ROC curve: Hanley and McNeil,
    "The meaning and use of the area under a ROC curve", 1982.
    """
    pairs = positives.sum() * negatives.sum()
    if pairs == 0:
        return math.nan
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs)


def _average_precision_of(positives: Array, negatives: Array) -> float:
    """Return the precision at each distinct score, weighted by the recall it adds.

    No interpolation, as in scikit-learn's `average_precision_score`.
    """
    found, total = positives[::-1], positives.sum()
    if total == 0:
        return math.nan
    right = np.cumsum(found)
    # Scores of which no row was drawn may come first: nothing was taken yet.
    taken = np.maximum(right + np.cumsum(negatives[::-1]), 1)
    return float((found * right / taken).sum() / total)


def _two(_output: TensorSpec) -> int:
    return 2


_NEEDS: Final = "labels 0 and 1, [rows], for one score per row: [rows] or [rows, 1]"
AUC: Final = Metric(
    name="auc",
    higher_is_better=True,
    is_share=True,
    needs=_NEEDS,
    label_rule=_check_both,
    scorer=_auc,
    classes=_two,
)
"""The area under the ROC curve; a higher score means class 1."""
AVERAGE_PRECISION: Final = Metric(
    name="average_precision",
    higher_is_better=True,
    is_share=True,
    needs=_NEEDS,
    label_rule=_check_positive,
    scorer=_average_precision,
    classes=_two,
)
"""The area under the precision-recall curve, step by step; a higher score means class 1."""
