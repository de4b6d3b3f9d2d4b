"""Errors of sequences read by CTC: `sequence_error_rate` and `phoneme_error_rate`.

The largest score of each frame is taken, repeats are one symbol, and blanks (class 0) go: best
path decoding, Graves et al., "Connectionist Temporal Classification", 2006.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edgeconsole.bundle.metrics.classes import count_classes
from edgeconsole.bundle.metrics.labels import check_integers
from edgeconsole.bundle.metrics.metric import Metric
from edgeconsole.bundle.metrics.scored import Ratio
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, TensorSpec

_BLANK: Final = 0
_PADDING: Final = -1


def _check_sequences(name: str, labels: Array, output: TensorSpec) -> None:
    check_integers(name, labels)
    classes = count_classes(output)
    if len(output.shape) != (3 if output.datatype.is_float else 2) or classes in {0, 1}:
        raise BundleError(
            f"{name} needs two or more scores per frame, [rows, frames, classes], the shape of "
            f"output {output.name!r} is {list(output.shape)}"
        )
    if labels.ndim != 2 or output.shape[0] not in {-1, len(labels)} or not len(labels):
        rows = "rows" if output.shape[0] < 1 else output.shape[0]
        raise BundleError(
            f"{name} needs labels of shape [{rows}, length] with at least one row, "
            f"not {list(labels.shape)}"
        )
    symbol = labels != _PADDING
    if bool((symbol[:, 1:] & ~symbol[:, :-1]).any()):
        raise BundleError(f"{name} cannot be measured: {_PADDING} stands before a label in a row")
    symbols = labels[symbol]
    if symbols.size and (symbols.min() <= _BLANK or symbols.max() >= (classes or np.inf)):
        last = "" if classes is None else f" to {classes - 1}"
        raise BundleError(
            f"{name} cannot be measured: labels run from {int(symbols.min())} to "
            f"{int(symbols.max())}, symbols are numbered from 1{last} ({_BLANK} is the blank)"
        )


def _check_symbols(name: str, labels: Array, output: TensorSpec) -> None:
    _check_sequences(name, labels, output)
    if bool((labels == _PADDING).all()):
        raise BundleError(f"{name} needs at least one symbol in the labels, all are padding")


def _sequence_error_rate(_name: str, values: Array, labels: Array) -> Ratio:
    return Ratio(_edits(values, labels) > 0, np.ones(len(labels)))


def _phoneme_error_rate(_name: str, values: Array, labels: Array) -> Ratio:
    return Ratio(_edits(values, labels), (labels != _PADDING).sum(axis=1))


def _edits(values: Array, labels: Array) -> Array:
    """Return each row's edit distance between the sequence read and the label's."""
    read, lengths = _decode(values.argmax(axis=-1) if values.dtype.kind == "f" else values)
    return edit_distances(read, lengths, labels, (labels != _PADDING).sum(axis=1))


def _decode(frames: Array) -> tuple[Array, Array]:
    """Return the sequences read of classes `[rows, frames]`, padded at the end, and lengths."""
    kept = frames != _BLANK
    kept[:, 1:] &= frames[:, 1:] != frames[:, :-1]
    lengths = kept.sum(axis=1)
    read = np.full((len(frames), lengths.max()), _PADDING, np.int64)
    read[np.arange(read.shape[1]) < lengths[:, None]] = frames[kept]
    return read, lengths


def edit_distances(ours: Array, our_lengths: Array, theirs: Array, their_lengths: Array) -> Array:
    """Return the edit distance of each row of one array `[rows, length]` to that of another.

    Insertions, deletions and substitutions cost 1; what lies behind a row's length is not looked
    at. Wagner and Fischer, "The string-to-string correction problem", 1974, for all rows at once:
    insertions are a running minimum along the other sequence.
    """
    steps = np.arange(theirs.shape[1] + 1)
    best = np.tile(steps, (len(ours), 1))
    for place in range(ours.shape[1]):
        costs = best + 1
        swapped = best[:, :-1] + (theirs != ours[:, place, None])
        costs[:, 1:] = np.minimum(costs[:, 1:], swapped)
        costs = np.minimum.accumulate(costs - steps, axis=1) + steps
        best = np.where(place < our_lengths[:, None], costs, best)
    return best[np.arange(len(ours)), their_lengths]


_NEEDS: Final = (
    "integer labels [rows, length], 1 and up, -1 behind the end, for scores "
    "[rows, frames, classes] or class numbers [rows, frames]"
)
SEQUENCE_ERROR_RATE: Final = Metric(
    name="sequence_error_rate",
    higher_is_better=False,
    is_share=True,
    needs=_NEEDS,
    label_rule=_check_sequences,
    scorer=_sequence_error_rate,
    classes=count_classes,
)
"""The share of rows that are not read exactly right."""
PHONEME_ERROR_RATE: Final = Metric(
    name="phoneme_error_rate",
    higher_is_better=False,
    is_share=False,
    needs=_NEEDS,
    label_rule=_check_symbols,
    scorer=_phoneme_error_rate,
    classes=count_classes,
)
"""All edits over all labels' length; above 1 if too much is read."""
