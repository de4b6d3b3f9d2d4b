"""`InferenceCache`: answers to inputs that were seen before. One for the device, bounded by bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeconsole.protocol.answers import AnswerForm
from edgeconsole.protocol.tensors import Array

Outputs = list[tuple[str, Array]]
_ENTRY_OVERHEAD = 512
"""Bytes an entry costs beside its arrays: key, tuple, links."""


def cache_key(digest: str, inputs: Sequence[Array], output_names: Sequence[str]) -> bytes:
    """Return the key of a request: the bundle's digest (which covers the variant) and the inputs.

    BLAKE2b reads about 1 GB/s and lets nobody make two inputs collide on purpose.
    """
    hasher = hashlib.blake2b(digest.encode(), digest_size=20)
    for name in output_names:
        hasher.update(b"\0" + name.encode())
    for array in inputs:
        hasher.update(repr(array.shape).encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.digest()


@dataclass(slots=True)
class CacheStatistics:
    """What the cache did since the start."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0


@dataclass(slots=True)
class Kept:
    """An answer that is kept, and the form it is given again in."""

    outputs: Outputs
    form: AnswerForm | None
    size_bytes: int
    expires_s: float


class InferenceCache:
    """Least recently used goes first; every operation is O(1)."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self.statistics = CacheStatistics()
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._entries: OrderedDict[bytes, Kept] = OrderedDict()

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._entries)

    def get(self, key: bytes, now_s: float) -> Kept | None:
        """Return the answer kept for a key, unless it is too old."""
        entry = self._entries.get(key)
        if entry is None:
            self.statistics.misses += 1
            return None
        if now_s >= entry.expires_s:
            self._remove(key)
            self.statistics.expirations += 1
            self.statistics.misses += 1
            return None
        self._entries.move_to_end(key)
        self.statistics.hits += 1
        return entry

    def put(
        self, key: bytes, outputs: Outputs, now_s: float, form: AnswerForm | None = None
    ) -> None:
        """Keep a copy of full answers; what does not fit at all is not kept."""
        size_bytes = sum(array.nbytes for _, array in outputs) + _ENTRY_OVERHEAD
        if size_bytes > self._max_bytes:
            return
        if key in self._entries:
            self._remove(key)
        while self.size_bytes + size_bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))
            self.statistics.evictions += 1
        copies = [(name, array.copy()) for name, array in outputs]
        self._entries[key] = Kept(copies, form, size_bytes, now_s + self._ttl_s)
        self.size_bytes += size_bytes

    def _remove(self, key: bytes) -> None:
        self.size_bytes -= self._entries.pop(key).size_bytes
