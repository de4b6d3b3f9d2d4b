"""All pairs, in the order of the table."""

from __future__ import annotations

from typing import Final

from benchmarks.pairs import audio, fashion, reuters, shuttle, silero
from benchmarks.pairs.digits import DIGITS
from benchmarks.pairs.pair import Pair

PAIRS: Final[tuple[Pair, ...]] = (
    *DIGITS,
    shuttle.PAIR,
    reuters.PAIR,
    fashion.PAIR,
    audio.PAIR,
    silero.PAIR,
)
