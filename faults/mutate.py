"""Bytes that are nearly right, from a seed: for the flood, and for the tests of the decoders."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

TOKENS: Final = (
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"0",
        b"1.5",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"[[1],2]",
    ),
    *(
        b"2147483648",
        b"18446744073709551616",
        b"1" * 5000,
        b'""',
        b'"\\ud800"',
        b'"\xff"',
        b"[" * 2000,
    ),
    *(
        b'"BYTES"',
        b'"FP16"',
        b'"x"',
        b'"ids"',
        b'"flags"',
        b'"parameters":{"binary_data_size":8}',
        b'"cancel":"1"',
        b"\0",
    ),
)
_ATOM: Final = re.compile(rb'"[^"]*"|-?\d+(?:\.\d+)?|\[\]|true|null')


def mutate(rng: random.Random, frame: bytes, others: Sequence[bytes]) -> bytes:
    """Return the frame with one thing wrong that a peer might get wrong, or might try."""
    at = rng.randrange(len(frame) + 1)
    end = min(len(frame), at + rng.choice((1, 1, 2, 4, 8, 64)))
    match rng.randrange(7):
        case 0:
            return frame[:at] + rng.randbytes(end - at) + frame[end:]
        case 1:
            return frame[:at] + frame[end:]
        case 2:
            return frame[:at]
        case 3:
            return frame[:at] + frame[at:end] * rng.choice((2, 2, 2, 50)) + frame[end:]
        case 4:
            other = rng.choice(others)
            return frame[:at] + other[rng.randrange(len(other)) :]
        case _:
            atoms = list(_ATOM.finditer(frame))
            if not atoms:
                return frame + rng.choice(TOKENS)
            atom = rng.choice(atoms)
            return frame[: atom.start()] + rng.choice(TOKENS) + frame[atom.end() :]
