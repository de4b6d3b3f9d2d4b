"""Spoken prompts and music that Debian ships for the Asterisk telephone exchange: 8 kHz, GSM.

Six voices, each in one recording chain, and five tracks of music. Allison speaks both English and
Spanish. Licences: CC-BY-SA-3.0 (Italian by Carlo and Russian: CC-BY-3.0).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.fetch import Cache, Debian
from benchmarks.pairs.pair import need
from edgeconsole.protocol.tensors import Array

RATE_HZ: Final = 8_000
MUSIC: Final = "music"
_WANTED: Final = ("usr/share/asterisk/*.gsm",)
_MUSIC: Final = Debian(
    "asterisk-moh-opsound-gsm",
    _WANTED,
    "503b065574fe553ed200f813af6b27e68a400212b219382a9794b5ca13aa6539",
)
_SPEECH: Final = {
    "en": Debian(
        "asterisk-core-sounds-en-gsm",
        _WANTED,
        "22912f3780f4f2ea4bb62f4cc717d01a3df2d05e578347cbf66cddadbef39884",
    ),
    "es": Debian(
        "asterisk-core-sounds-es-gsm",
        _WANTED,
        "e06337f1a9938ac8bceb980fb20772d219a7193ecd44ae8a56dcd29dca3f0af2",
    ),
    "fr": Debian(
        "asterisk-core-sounds-fr-gsm",
        _WANTED,
        "44462b52d10fcfda7cfe73f79f712a80739bcfd668652d77912685d3fb6a04eb",
    ),
    "it": Debian(
        "asterisk-core-sounds-it-gsm",
        _WANTED,
        "e24e82a68a3309eb3b3f2dc55c1e6e76c84fade75a9f3b34f2a23c407e8e8a83",
    ),
    "it-menardi": Debian(
        "asterisk-prompt-it-menardi-gsm",
        _WANTED,
        "69f90f593388599b9ea08a47ab89d2c5b4818756ed178db900c27e68a6da60fa",
    ),
    "ru": Debian(
        "asterisk-core-sounds-ru-gsm",
        _WANTED,
        "45531be1d127fa7180b3e302c6abb2d99564fd7bc8ce0e8d65dfa49fdc11ebf6",
    ),
}
CLASSES: Final = (*_SPEECH, MUSIC)
_HELD_TRACKS: Final = ("manolo_camp-morning_coffee", "reno_project-system")
_HELD_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Sound:
    """One recording."""

    label: str
    is_held: bool
    """Whether it judges: a prompt of one name is held in every voice, music by the track."""
    samples: Array
    """At `RATE_HZ`, from -1 to 1."""


def read_sounds(cache: Cache) -> Iterator[Sound]:
    """Return all recordings, voice by voice, in the order of their names.

    Raises `UnavailableError` if a package or what decodes it cannot be had.
    """
    need("soundfile", "edgeconsole[realdata]")
    for label, package in (*_SPEECH.items(), (MUSIC, _MUSIC)):
        folder = cache.files(package)
        for path in sorted(folder.rglob("*.gsm")):
            name = path.stem
            held = name in _HELD_TRACKS if label == MUSIC else _is_held(name)
            yield Sound(label, held, _decode(path))


def _is_held(prompt: str) -> bool:
    """Choose by the name alone, so that no voice trains on what judges another."""
    return zlib.crc32(prompt.encode()) % 100 < 100 * _HELD_SHARE


def _decode(path: Path) -> Array:
    import soundfile

    samples: Array
    samples, _ = soundfile.read(
        path, format="RAW", subtype="GSM610", samplerate=RATE_HZ, channels=1, dtype="float32"
    )
    return np.asarray(samples, np.float32)
