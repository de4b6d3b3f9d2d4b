"""Frames and handshakes that are nearly right, from a seed."""

from __future__ import annotations

import random
import re
from typing import Final

TOKENS: Final = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"0",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[1],2]",
    b"18446744073709551616",
    b"1" * 400,
    b'""',
    b'"\\ud800"',
    b'"\xff"',
    b"[" * 500,
    b'"BYTES"',
    b'"cancel":"1"',
    b"\0",
)
_ATOM: Final = re.compile(rb'"[^"]*"|-?\d+(?:\.\d+)?|\[\]|true|null')


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return bytes that differ in one to three places from what they were."""
    for _ in range(rng.randint(1, 3)):
        data = _once(rng, data)
    return data


def _once(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return bytes([rng.randrange(256)])
    at = rng.randrange(len(data))
    match rng.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 2:
            return data[:at] + rng.randbytes(rng.randint(1, 8)) + data[at:]
        case 3:
            end = min(len(data), at + rng.randint(1, 16))
            return data[:at] + data[end:]
        case 4:
            return data[:at] + rng.randbytes(4) + data[at + 4 :]
        case 5:
            end = min(len(data), at + rng.randint(1, 16))
            return data[:end] + data[at:]
        case _:
            atoms = [found.span() for found in _ATOM.finditer(data)]
            if not atoms:
                return data[::-1]
            start, end = rng.choice(atoms)
            return data[:start] + rng.choice(TOKENS) + data[end:]
