"""Pairs of models and data, on small local stand-ins for what packages ship."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.fetch import Cache, Package
from benchmarks.pairs import audio, fashion, lite0, minilm, reuters, shuttle, silero
from benchmarks.pairs.pair import Pair
from benchmarks.pairs.sounds import MUSIC, RATE_HZ, Sound
from edgeconsole.bundle import Bundle
from edgeconsole.protocol.tensors import Array


class LocalCache(Cache):
    """A cache whose packages are all one folder of this test."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "cache")
        self.folder = root / "files"

    def files(self, package: Package) -> Path:
        """Return the folder."""
        return self.folder

    def write(self, name: str, content: bytes) -> None:
        """Put a file there."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    """Return a cache to put files into."""
    return LocalCache(tmp_path)


def packed(pair: Pair, cache: Cache, tmp_path: Path) -> tuple[Bundle, dict[str, Array], Array]:
    """Return a pair's bundle, its evaluation rows, and their labels."""
    bundle = Bundle.open(pair.pack(cache, tmp_path))
    bundle.verify()
    evaluation = bundle.evaluation()
    assert evaluation is not None
    return bundle, *evaluation


def test_the_shuttle_is_judged_by_average_precision_on_rows_never_trained_on(
    cache: LocalCache, tmp_path: Path
) -> None:
    """Halves are apart, sensors go in raw, and anomalies are class 1."""
    random = np.random.default_rng(5)
    rows = np.round(random.normal(50, 5, (400, 9)))
    rows[:, 0] = np.arange(400)
    anomaly = random.random(400) < 0.2
    lines = [
        ",".join(str(int(each)) for each in (*row, label))
        for row, label in zip(rows, anomaly, strict=True)
    ]
    table = "\n".join(["f1,f2,f3,f4,f5,f6,f7,f8,f9,anomaly", *lines]) + "\n"
    cache.write("river/datasets/shuttle.csv.gz", gzip.compress(table.encode()))
    bundle, inputs, labels = packed(shuttle.PAIR, cache, tmp_path)
    calibration = bundle.calibration()
    assert calibration is not None
    assert bundle.manifest.metric == "average_precision"
    judged, trained = inputs["sensors"][:, 0], calibration["sensors"][:, 0]
    assert not set(judged) & set(trained)
    assert set(judged) | set(trained) == set(range(400))
    assert labels.tolist() == anomaly[judged.astype(int)].astype(int).tolist()


def test_reuters_keeps_the_official_split(cache: LocalCache, tmp_path: Path) -> None:
    """Topics and words come from the right columns; words of the test part are not learned."""
    head = "Category\tText\nd\tstring\nclass\t\n\n"
    train = "".join(f"{topic}\tshares of {topic} rose\n" for topic in reuters.TOPICS * 5)
    test = "earn\tprofit of earn rose\ngrain\tgrain\n"
    for part, lines in (("train", train), ("test", test)):
        name = f"orangecontrib/text/datasets/reuters-r8-{part}.tab"
        cache.write(name, (head + lines).encode())
    bundle, inputs, labels = packed(reuters.PAIR, cache, tmp_path)
    assert labels.tolist() == [reuters.TOPICS.index("earn"), reuters.TOPICS.index("grain")]
    first, second = inputs["tokens"]
    assert (first[0], first[4]) == (1, 0)  # `profit` is unknown, behind the end is padding
    assert len(set(first[1:4].tolist())) == 3
    assert second[1] == 0
    assert bundle.manifest.inputs[0].datatype == "INT64"


def test_fashion_reads_the_idx_files(cache: LocalCache, tmp_path: Path) -> None:
    """Pictures keep their rows and scale to 0 to 1; the official parts stay apart."""
    random = np.random.default_rng(6)
    folder = "usr/share/datasets/fashion-mnist"
    pictures = {}
    for part, count in (("train", 150), ("t10k", 20)):
        pictures[part] = random.integers(0, 256, (count, 28, 28), np.uint8)
        kinds = (np.arange(count) % 10).astype(np.uint8)
        for name, head, body in (
            (f"{part}-images-idx3-ubyte.gz", bytes(16), pictures[part].tobytes()),
            (f"{part}-labels-idx1-ubyte.gz", bytes(8), kinds.tobytes()),
        ):
            cache.write(f"{folder}/{name}", gzip.compress(head + body))
    _, inputs, labels = packed(fashion.PAIR, cache, tmp_path)
    assert np.array_equal(np.round(inputs["image"][:, 0] * 255), pictures["t10k"])
    assert labels.tolist() == [*range(10)] * 2


def test_a_tone_is_loudest_in_its_own_mel_band() -> None:
    """The spectrum's bands lie where HTK's formula puts them."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 42) / 2595) - 1)
    for band in (10, 25, 39):
        tone = np.sin(2 * np.pi * edges[band + 1] * time_s)
        spectrum = audio.log_mel(tone[None].astype(np.float32))
        assert spectrum.shape == (1, 1, 40, 61)
        assert abs(int(spectrum[0, 0, :, 30].argmax()) - band) <= 1


def test_words_split_into_the_longest_known_pieces(tmp_path: Path) -> None:
    """Greedy from the left; a word with an unknown rest is one unknown token."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##in", "p", "##s"]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(pieces) + "\n")
    row = minilm.encode(["playing plays playx"], vocabulary)[0]
    assert row[:8].tolist() == [2, 4, 5, 4, 8, 1, 3, 0]
    assert minilm.encode(["play " * 100], vocabulary)[0, -1] == 3


def test_recorded_states_are_those_that_are_carried() -> None:
    """Judging single frames from recorded states gives what the original gave within the clip."""
    torch.manual_seed(3)
    module = silero.Silero().eval()
    clips = np.random.default_rng(3).normal(0, 0.1, (2, 2048)).astype(np.float32)

    def run(inputs: list[Array]) -> list[Array]:
        with torch.no_grad():
            return [each.numpy() for each in module(*map(torch.from_numpy, inputs)).values()]

    carried = silero.speech_of(run, clips)
    with torch.no_grad():
        recorded = silero.recorded(module, clips)
    for frame in range(4):
        alone, *_ = run([each[:, frame] for each in recorded.values()])
        assert np.allclose(alone[:, 0], carried[:, frame], atol=1e-6)
    assert np.array_equal(recorded["sound"][:, 1, :64], clips[:, 448:512])
    assert not np.allclose(recorded["hidden"][:, 1], 0)


def test_a_variant_that_forgets_its_state_is_found_out(
    cache: LocalCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole clips show what single frames hide."""
    voice = [Sound("en", is_held=False, samples=np.full(RATE_HZ * 20, 0.5, np.float32))]
    music = [Sound(MUSIC, is_held=False, samples=np.zeros(RATE_HZ * 20, np.float32))]
    monkeypatch.setattr(silero, "read_sounds", lambda _cache: [*voice, *music])

    def counts(inputs: list[Array]) -> list[Array]:
        """Answer speech from the second loud frame on."""
        sound, hidden, cell = inputs
        loud = sound.mean(axis=1, keepdims=True) > 0.25
        return [(loud & (hidden[:, :1] > 0)).astype(np.float32), hidden + loud, cell]

    def forgets(inputs: list[Array]) -> list[Array]:
        speech, _, cell = counts(inputs)
        return [speech, np.zeros_like(cell), cell]

    (same,) = silero.check_carried(cache, counts, counts)
    assert same.met
    assert "1.0000 → 1.0000" in same.measured
    (lost,) = silero.check_carried(cache, counts, forgets)
    assert not lost.met
    assert "1.0000 → 0.5000, drop 50.00" in lost.measured


def test_lite0_halves_as_tensorflow_does() -> None:
    """The last column counts at stride 2, the one before the first does not exist."""
    layer = lite0.Same(1, 1, 3, 2, 1)
    torch.nn.init.ones_(layer.convolution.weight)
    row = torch.zeros(1, 1, 4, 4)
    row[..., 0, 0] = 1.0
    assert layer(row)[0, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert layer(row.flip(2, 3))[0, 0].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert sum(each.numel() for each in lite0.Lite0().parameters()) == 4_652_008
