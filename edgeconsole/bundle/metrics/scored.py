"""What a metric keeps of each row, so that resamples of the rows cost little."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgeconsole.protocol.tensors import Array


class Scored(Protocol):
    """A model's outputs, scored for one metric; the outputs themselves are not kept."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def value(self, rows: Array | None = None) -> float:
        """Return the metric of all rows, or of those drawn.

        `rows` is an integer array of row numbers from 0, of any length, with repetitions. NaN if
        the metric is not defined on them, such as `auc` on rows of one class; never for all rows.
        """


@dataclass(frozen=True, eq=False)
class Ratio:
    """A sum over a sum: `parts` and `wholes` hold one number per row.

    `root` takes the square root of it.
    """

    parts: Array
    wholes: Array
    root: bool = False

    def __len__(self) -> int:
        return len(self.parts)

    def value(self, rows: Array | None = None) -> float:
        """Return the ratio (see `Scored`)."""
        parts = self.parts if rows is None else self.parts[rows]
        wholes = self.wholes if rows is None else self.wholes[rows]
        whole = float(wholes.sum())
        if whole == 0:
            return math.nan
        ratio = float(parts.sum()) / whole
        return math.sqrt(ratio) if self.root else ratio


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rows in the order of their scores, for metrics of two classes.

    `order` sorts the rows by score, lowest first; `starts` says where in it each distinct score
    begins; `positive` is 1.0 for the rows in it that are of class 1, else 0.0. `measure` makes the
    value of how many rows of class 1 and of class 0 have each distinct score, lowest first.
    """

    order: Array
    starts: Array
    positive: Array
    measure: Callable[[Array, Array], float]

    def __len__(self) -> int:
        return len(self.order)

    def value(self, rows: Array | None = None) -> float:
        """Return the metric (see `Scored`); counts the rows drawn, so nothing is sorted again."""
        drawn = draws(rows, len(self))[self.order]
        positives = np.add.reduceat(drawn * self.positive, self.starts)
        return self.measure(positives, np.add.reduceat(drawn, self.starts) - positives)


@dataclass(frozen=True, eq=False)
class Overlap:
    """How labels and answers overlap in each class, averaged over the classes that are there.

    Entry i says of class `classes[i]` in row `row[i]`: `hits[i]` positions have it both as label
    and as answer; `sizes[i]` is the labels' number plus the answers'. Classes that a row does not
    have are left out. `measure` makes each class's value of its summed hits and sizes.
    """

    count: int
    row: Array
    classes: Array
    hits: Array
    sizes: Array
    measure: Callable[[Array, Array], Array]

    def __len__(self) -> int:
        return self.count

    def value(self, rows: Array | None = None) -> float:
        """Return the mean over the classes that the rows drawn have (see `Scored`)."""
        drawn = draws(rows, self.count)[self.row]
        hits = np.bincount(self.classes, drawn * self.hits)
        sizes = np.bincount(self.classes, drawn * self.sizes)
        there = sizes > 0
        if not there.any():
            return math.nan
        return float(self.measure(hits[there], sizes[there]).mean())


def draws(rows: Array | None, count: int) -> Array:
    """Return how often each of `count` rows was drawn, as floats; once each for `None`.

    Raises `IndexError` for a row that is not there.
    """
    if rows is None:
        return np.ones(count)
    drawn = np.bincount(rows, minlength=count)
    if len(drawn) > count:
        raise IndexError(f"row {len(drawn) - 1} of {count}")
    return drawn.astype(float)
