"""Silero's voice activity detector: pretrained, and its state is carried from frame to frame.

Three inputs and three outputs: 32 ms of sound and the two states of an LSTM go in, the probability
of speech and the next states come out. A bundle's rows are independent of each other, so the
optimiser judges single frames with the states that the original had before each, recorded here; a
frame's label is its clip's. That hides errors which states would carry on, so the variant
recommended also runs whole clips with its own states.

The weights are those of `silero_vad.jit`: the safetensors file beside it holds others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.check import Check
from benchmarks.fetch import Cache, Wheel
from benchmarks.pairs.pair import Kind, Material, Pair, Run, need, some_rows
from benchmarks.pairs.sounds import MUSIC, RATE_HZ, Sound, read_sounds
from benchmarks.training import SEED
from edgeconsole.bundle.manifest import Task
from edgeconsole.bundle.metrics import METRICS
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.stats import paired_drop

_WHEEL: Final = Wheel(
    "silero-vad",
    "6.2.3",
    ("silero_vad/data/silero_vad.jit",),
    "c57c4f46e1c653f89b84a56770c30a4181b421dfc77f829fa008e775774b23af",
)
_PREFIX: Final = "_model."
_FRAME, _CONTEXT, _STATE = 512, 64, 128
_CLIP_S: Final = 2
_SPEECH_CLIPS, _MUSIC_CLIPS = 600, 500
_CALIBRATION_CLIPS: Final = 200
_CALIBRATION: Final = 2_000
_JUDGED: Final = 10_000
_SPEECH_SHARE: Final = 0.25
"""Of a clip's frames: with more that sound like speech it is speech, which has pauses."""
_MOST_DROP: Final = 1.0


class Silero(nn.Module):
    """The 16 kHz model in plain layers: sound `[N,576]` and states `[N,128]`."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        layers: list[nn.Module] = []
        for before, after, stride in ((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1)):
            layers += [nn.Conv1d(before, after, 3, stride=stride, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
        self.cell = nn.LSTMCell(_STATE, _STATE)
        self.head = nn.Linear(_STATE, 1)

    def forward(
        self, sound: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the probability of speech and the next states."""
        padded = functional.pad(sound.unsqueeze(1), (0, _CONTEXT), "reflect")
        real, imaginary = self.basis(padded).split(129, 1)
        magnitude = (real.square() + imaginary.square()).sqrt()
        hidden, cell = self.cell(self.encoder(magnitude).squeeze(-1), (hidden, cell))
        speech = torch.sigmoid(self.head(functional.relu(hidden)))
        return {"speech": speech, "next_hidden": hidden, "next_cell": cell}


def load(path: Path) -> Silero:
    """Return the model with the weights of the TorchScript file."""
    script = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    given = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in script.state_dict().items()
        if name.startswith(_PREFIX)
    }
    names = {"basis.weight": "stft.forward_basis_buffer", "head.bias": "decoder.decoder.2.bias"}
    for place in range(4):
        for part in ("weight", "bias"):
            names[f"encoder.{2 * place}.{part}"] = f"encoder.{place}.reparam_conv.{part}"
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        names[f"cell.{part}"] = f"decoder.rnn.{part}"
    state = {ours: given[theirs] for ours, theirs in names.items()}
    state["head.weight"] = given["decoder.decoder.2.weight"].squeeze(-1)
    module = Silero()
    module.load_state_dict(state)
    return module.eval()


def _material(cache: Cache) -> Material:
    module = load(cache.files(_WHEEL) / _WHEEL.wanted[0])
    clips, labels = _clips(cache)
    with torch.no_grad():
        rows = recorded(module, clips)
    # Whole clips calibrate or judge: neighbouring frames are too alike to be on both sides.
    order = np.random.default_rng(SEED).permutation(len(clips))
    calibrates, judges = order[:_CALIBRATION_CLIPS], order[_CALIBRATION_CLIPS:]
    frames = np.repeat(labels[judges], rows["sound"].shape[1])
    judged = some_rows(_JUDGED, len(frames), SEED)
    return Material(
        module,
        {name: _some(each[calibrates], _CALIBRATION) for name, each in rows.items()},
        ({name: _some(each[judges], _JUDGED) for name, each in rows.items()}, frames[judged]),
        metric="auc",
        task=Task.CUSTOM,
    )


def _some(clips: Array, count: int) -> Array:
    """Return some of the frames of clips `[clips, frames, values]` as rows."""
    rows = clips.reshape(-1, clips.shape[2])
    return rows[some_rows(count, len(rows), SEED)]


def _clips(cache: Cache) -> tuple[Array, Array]:
    """Return clips `[clips, samples]` at 16 kHz, and 1 for speech and 0 for music."""
    need("scipy", "edgeconsole[train]")
    from scipy.signal import resample_poly

    found: dict[int, list[Array]] = {1: [], 0: []}
    for sound in read_sounds(cache):
        found[int(sound.label != MUSIC)] += _cut(sound)
    random = np.random.default_rng(SEED)
    chosen = [
        (found[label][place], label)
        for label, count in ((1, _SPEECH_CLIPS), (0, _MUSIC_CLIPS))
        for place in random.permutation(len(found[label]))[:count]
    ]
    clips, labels = (np.array(each) for each in zip(*chosen, strict=True))
    return resample_poly(clips, 2, 1, axis=1).astype(np.float32), labels


def _cut(sound: Sound) -> list[Array]:
    size = _CLIP_S * RATE_HZ
    samples = sound.samples
    return [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]


def _frames(clips: Array) -> Iterator[Array]:
    """Return one frame of all clips after the other, each with the end of the one before."""
    padded = np.pad(clips, ((0, 0), (_CONTEXT, 0)))
    for at in range(0, clips.shape[1] - _FRAME + 1, _FRAME):
        yield np.ascontiguousarray(padded[:, at : at + _CONTEXT + _FRAME])


def recorded(module: Silero, clips: Array) -> dict[str, Array]:
    """Return what goes into the original at every frame of every clip, by input."""
    hidden = cell = torch.zeros(len(clips), _STATE)
    seen: dict[str, list[Array]] = {"sound": [], "hidden": [], "cell": []}
    for frame in _frames(clips):
        for name, value in (("sound", frame), ("hidden", hidden.numpy()), ("cell", cell.numpy())):
            seen[name].append(value)
        found = module(torch.from_numpy(frame), hidden, cell)
        hidden, cell = found["next_hidden"], found["next_cell"]
    return {name: np.stack(values, 1) for name, values in seen.items()}


def check_carried(cache: Cache, original: Run, variant: Run) -> list[Check]:
    """Run whole clips with states carried, and compare how often each tells speech from music."""
    clips, labels = _clips(cache)
    before, after = speech_of(original, clips), speech_of(variant, clips)
    metric = METRICS["accuracy"]
    scored = [metric.prepare({"is_speech": _decided(each)}, labels) for each in (before, after)]
    found = paired_drop(scored[0], scored[1], len(labels), SEED)
    if found.drop is None or found.interval is None:
        return [Check("states carried", "", "nothing to compare", met=False)]
    said = (
        f"accuracy {found.original:.4f} → {found.variant:.4f}, drop {found.drop:.2f} "
        f"({found.interval[0]:.2f} to {found.interval[1]:.2f}); probabilities differ by "
        f"{float(np.abs(before - after).mean()):.4f} in the mean"
    )
    what = f"states carried through {len(labels):,} clips, drop in points"
    return [Check(what, f"≤ {_MOST_DROP:g}", said, met=found.drop <= _MOST_DROP)]


def speech_of(run: Run, clips: Array) -> Array:
    """Return the probabilities `[clips, frames]`."""
    states: Sequence[Array] = [np.zeros((len(clips), _STATE), np.float32)] * 2
    found = []
    for frame in _frames(clips):
        speech, *states = run([frame, *states])
        found.append(speech)
    return np.concatenate(found, 1)


def _decided(speech: Array) -> Array:
    """Return 1 for each clip that is speech."""
    share = (speech > 0.5).mean(axis=1)
    return np.asarray(share > _SPEECH_SHARE, np.int64)


PAIR: Final = Pair(
    name="silero",
    kind=Kind.RECURRENT,
    source="silero-vad 6.2.3; sounds as for audio",
    licence="MIT; CC-BY-SA-3.0, CC-BY-3.0",
    split="not trained here; 900 clips of 2 s judge, 200 calibrate; frames with recorded states",
    recipe="pretrained",
    make=_material,
    follow_up=check_carried,
)
