"""Constant-memory performance figures: log-linear latency histograms over a sliding window."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np

WINDOW_S: Final = 60
_RATE_WINDOW_S: Final = 5
_SUB_BITS: Final = 5
"""32 buckets for each doubling: a percentile is at most 1/32 (3 %) above the true value."""
_SUB: Final = 1 << _SUB_BITS
_OCTAVES: Final = 26
"""Up to 2**26 µs, 67 s; what takes longer counts in the last bucket."""
BUCKETS: Final = (_OCTAVES - _SUB_BITS + 1) * _SUB


def bucket_of(us: int) -> int:
    """Return the bucket of a duration in µs: exact below 64, then 32 buckets for each doubling."""
    if us < 2 * _SUB:
        return max(us, 0)
    shift = us.bit_length() - _SUB_BITS - 1
    return min((shift << _SUB_BITS) + (us >> shift), BUCKETS - 1)


def bucket_limit_us(bucket: int) -> int:
    """Return the largest duration in µs that falls in a bucket."""
    if bucket < 2 * _SUB:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return (((bucket & (_SUB - 1)) + _SUB + 1) << shift) - 1


class SlidingHistogram:
    """Durations of the last 60 s, one histogram a second, in some 150 kB whatever the load."""

    def __init__(self) -> None:
        self._slots = [array("I", bytes(4 * BUCKETS)) for _ in range(WINDOW_S)]
        self._seconds = [-1] * WINDOW_S

    def record(self, now_s: float, duration_ms: float) -> None:
        """Count a duration that ended at monotonic `now_s`."""
        second = int(now_s)
        index = second % WINDOW_S
        slot = self._slots[index]
        if self._seconds[index] != second:
            slot[:] = array("I", bytes(4 * BUCKETS))
            self._seconds[index] = second
        slot[bucket_of(int(duration_ms * 1000))] += 1

    def percentiles_ms(self, now_s: float, *shares: float) -> tuple[float | None, ...]:
        """Return the durations that these shares (0 to 1) of the window do not exceed."""
        counts = np.zeros(BUCKETS, np.int64)
        for slot in self._live(now_s, WINDOW_S):
            counts += np.frombuffer(slot, np.uint32)
        total = int(counts.sum())
        if not total:
            return (None,) * len(shares)
        ranks = np.cumsum(counts)
        return tuple(
            bucket_limit_us(int(np.searchsorted(ranks, max(1.0, share * total)))) / 1000
            for share in shares
        )

    def rate_per_s(self, now_s: float) -> float:
        """Return how many durations a second ended in the last five whole seconds."""
        # The second in progress is not over: leave it out.
        last = int(now_s) - 1
        counted = sum(
            int(np.frombuffer(slot, np.uint32).sum()) for slot in self._live(last, _RATE_WINDOW_S)
        )
        return counted / _RATE_WINDOW_S

    def _live(self, now_s: float, seconds: int) -> list[array[int]]:
        last = int(now_s)
        return [
            slot
            for slot, second in zip(self._slots, self._seconds, strict=True)
            if last - seconds < second <= last
        ]


class PerformanceMetrics:
    """One loaded model's figures; counters are since it was loaded."""

    def __init__(self) -> None:
        self.total = SlidingHistogram()
        """From reading a request to its answer."""
        self.infer = SlidingHistogram()
        """Inside the model."""
        self.requests_total = 0
        self.answered_total = 0
        self.refused_total = 0
        self.failed_total = 0
        self.late_total = 0

    def answered(self, now_s: float, total_ms: float, infer_ms: float) -> None:
        """Count an answer."""
        self.answered_total += 1
        self.total.record(now_s, total_ms)
        self.infer.record(now_s, infer_ms)
