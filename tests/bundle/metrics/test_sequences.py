"""`sequence_error_rate` and `phoneme_error_rate`."""

from __future__ import annotations

import math
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconsole.bundle.metrics import METRICS, measure_metric
from edgeconsole.bundle.metrics.sequences import edit_distances
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

FRAMES = np.array([[0, 1, 1, 0, 1, 2], [3, 3, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
"""Read as 1 1 2, as 3, and as nothing."""
SCORES = np.eye(4, dtype="f4")[FRAMES]
SYMBOLS = st.lists(st.integers(1, 3), max_size=7)


def padded(rows: list[list[int]]) -> Array:
    """Return rows of different lengths as one array."""
    found = np.full((len(rows), max(map(len, rows))), -1)
    for row, symbols in enumerate(rows):
        found[row, : len(symbols)] = symbols
    return found


def distance(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int:
    """Return the edit distance by its definition."""

    @cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        swapped = of(i - 1, j - 1) + (ours[i - 1] != theirs[j - 1])
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, swapped)

    return of(len(ours), len(theirs))


def test_reading() -> None:
    """Repeats are one symbol, a blank between them makes two, blanks themselves are nothing."""
    labels = padded([[1, 1, 2], [3], []])
    for values in (SCORES, FRAMES):
        assert measure_metric("sequence_error_rate", {"y": values}, labels) == 0
        assert measure_metric("phoneme_error_rate", {"y": values}, labels) == 0


def test_known_values() -> None:
    """One row of three is wrong by one symbol of three; too many symbols read exceed 1."""
    labels = padded([[1, 2], [3], []])
    assert measure_metric("sequence_error_rate", {"y": SCORES}, labels) == pytest.approx(1 / 3)
    assert measure_metric("phoneme_error_rate", {"y": SCORES}, labels) == pytest.approx(1 / 3)
    labels = padded([[], [], [1]])
    assert measure_metric("phoneme_error_rate", {"y": SCORES}, labels) == 5


def test_nothing_to_read_drawn_is_no_number() -> None:
    """A resample whose labels are all empty has no phoneme error rate."""
    scored = METRICS["phoneme_error_rate"].prepare({"y": SCORES}, padded([[1], [3], []]))
    assert math.isnan(scored.value(np.array([2, 2])))


@settings(deadline=None)
@given(st.lists(st.tuples(SYMBOLS, SYMBOLS), min_size=1, max_size=6))
def test_edit_distances(pairs: list[tuple[list[int], list[int]]]) -> None:
    """Rows of any lengths, side by side, have the distances of the definition."""
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = edit_distances(
        padded(ours), np.array([*map(len, ours)]), padded(theirs), np.array([*map(len, theirs)])
    )
    assert found.tolist() == [distance(tuple(a), tuple(b)) for a, b in pairs]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=6, max_size=6), SYMBOLS), min_size=1)
)
def test_rates(rows: list[tuple[list[int], list[int]]]) -> None:
    """Rates are those of reading and comparing row by row, for scores as for class numbers."""
    read = [tuple(key for key, _ in groupby(frames) if key) for frames, _ in rows]
    edits = [distance(ours, tuple(label)) for ours, (_, label) in zip(read, rows, strict=True)]
    frames, labels = np.array([row[0] for row in rows]), padded([row[1] for row in rows])
    wrong = sum(count > 0 for count in edits) / len(rows)
    length = sum(len(label) for _, label in rows)
    for values in (frames, np.eye(4)[frames]):
        assert measure_metric("sequence_error_rate", {"y": values}, labels) == pytest.approx(wrong)
        if length:
            rate = measure_metric("phoneme_error_rate", {"y": values}, labels)
            assert rate == pytest.approx(sum(edits) / length)


def test_no_frames() -> None:
    """A model that saw no frames read nothing."""
    empty = {"y": np.zeros((1, 0, 4), "f4")}
    assert measure_metric("phoneme_error_rate", empty, np.array([[1, 2]])) == 1


@pytest.mark.parametrize("name", ["sequence_error_rate", "phoneme_error_rate"])
@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (SCORES, np.array([[1, -1, 2]] * 3), "-1 stands before a label"),
        (SCORES, np.array([[0], [1], [1]]), r"run from 0 to 1, symbols.* 1 to 3 \(0 is the blank"),
        (SCORES, np.array([[1], [4], [-1]]), "run from 1 to 4, symbols are numbered from 1 to 3"),
        (SCORES, np.array([[1], [-2], [-1]]), "run from -2 to 1"),
        (FRAMES, np.array([[1], [0], [-1]]), r"symbols are numbered from 1 \(0"),
        (SCORES, np.array([1, 2, 3]), r"labels of shape \[3, length\].*not \[3\]"),
        (SCORES, np.array([[1]]), r"labels of shape \[3, length\].*not \[1, 1\]"),
        (SCORES, np.array([[1.0]] * 3), "needs integer labels"),
        (SCORES[..., :1], np.array([[1]] * 3), r"\[rows, frames, classes\].*\[3, 6, 1\]"),
        (SCORES[:, 0], np.array([[1]] * 3), r"\[rows, frames, classes\].*\[3, 4\]"),
        (FRAMES[0], np.array([[1]] * 6), r"\[rows, frames, classes\].*\[6\]"),
    ],
)
def test_refuses_what_cannot_be_measured(
    name: str, values: Array, labels: Array, words: str
) -> None:
    """Data that do not fit are an error, never a number."""
    with pytest.raises(BundleError, match=f"{name}.*{words}"):
        measure_metric(name, {"y": values}, labels)


def test_phoneme_error_rate_needs_a_symbol() -> None:
    """Without any symbol in the labels there is nothing to divide by."""
    with pytest.raises(BundleError, match="needs at least one symbol"):
        measure_metric("phoneme_error_rate", {"y": SCORES}, np.full((3, 2), -1))
    assert measure_metric("sequence_error_rate", {"y": SCORES}, np.full((3, 2), -1)) > 0.6
