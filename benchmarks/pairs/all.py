"""All pairs, in the order of the table."""

from __future__ import annotations

from typing import Final

from benchmarks.pairs import audio, fashion, lite0, minilm, reuters, shuttle, silero
from benchmarks.pairs.digits import DIGITS
from benchmarks.pairs.pair import Pair

PAIRS: Final[tuple[Pair, ...]] = (
    *DIGITS,
    shuttle.PAIR,
    reuters.PAIR,
    fashion.PAIR,
    audio.PAIR,
    silero.PAIR,
    lite0.PAIR,
    minilm.PAIR,
)
