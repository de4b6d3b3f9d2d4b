"""Constant-memory performance figures: log-linear latency histograms over sliding windows."""

from __future__ import annotations

from array import array
from collections import Counter
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeconsole.errors import ErrorCode
from edgeconsole.protocol.inference import PriorityClass

WINDOW_S: Final = 60
_RATE_WINDOW_S: Final = 5
_SUB_BITS: Final = 5
"""32 buckets for each doubling: a percentile is at most 1/32 (3 %) above the true value."""
_SUB: Final = 1 << _SUB_BITS
_OCTAVES: Final = 26
"""Up to 2**26 µs, 67 s; what takes longer counts in the last bucket."""
BUCKETS: Final = (_OCTAVES - _SUB_BITS + 1) * _SUB
_EMPTY: Final = bytes(4 * BUCKETS)
_FOLD_AT: Final = 4 * 256
"""So many fresh durations go into the histograms together; that takes about 0.1 ms."""

Counts = npt.NDArray[np.int64]


def bucket_of(us: int) -> int:
    """Return the bucket of a duration in µs: exact below 64, then 32 buckets for each doubling."""
    if us < 2 * _SUB:
        return max(us, 0)
    shift = us.bit_length() - _SUB_BITS - 1
    return min((shift << _SUB_BITS) + (us >> shift), BUCKETS - 1)


def buckets_of(durations_ms: npt.NDArray[np.float64]) -> Counts:
    """Return the buckets of many durations at once; the same as `bucket_of` of each."""
    us = np.maximum(durations_ms * 1000, 0.0).astype(np.int64)
    # frexp's exponent is the bit length, exactly, for every integer a float can hold.
    shifts = np.maximum(np.frexp(us.astype(np.float64))[1] - _SUB_BITS - 1, 0)
    buckets: Counts = np.minimum((shifts << _SUB_BITS) + (us >> shifts), BUCKETS - 1)
    return buckets


def bucket_limit_us(bucket: int) -> int:
    """Return the largest duration in µs that falls in a bucket."""
    if bucket < 2 * _SUB:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return (((bucket & (_SUB - 1)) + _SUB + 1) << shift) - 1


LIMITS_US: Final = np.array([bucket_limit_us(bucket) for bucket in range(BUCKETS)])


class SlidingHistogram:
    """Durations by second for the last 60 s, and all since the start.

    Memory is bounded: 2.8 kB for each second that had any, whatever the load.
    """

    def __init__(self) -> None:
        self._slots: list[Any] = [None] * WINDOW_S
        self._seconds = [-2 * WINDOW_S] * WINDOW_S
        self._older: Counts = np.zeros(BUCKETS, np.int64)
        self.sum_ms = 0.0

    def record(self, now_s: float, duration_ms: float) -> None:
        """Count a duration that ended at monotonic `now_s`."""
        second = int(now_s)
        index = second % WINDOW_S
        if self._seconds[index] != second:
            self._turn(index, second)
        self._slots[index][bucket_of(int(duration_ms * 1000))] += 1
        self.sum_ms += duration_ms

    def record_many(self, second: int, durations_ms: npt.NDArray[np.float64]) -> None:
        """Count durations that ended in one second of the monotonic clock."""
        index = second % WINDOW_S
        if self._seconds[index] != second:
            self._turn(index, second)
        slot = np.frombuffer(self._slots[index], np.uint32)
        slot += np.bincount(buckets_of(durations_ms), minlength=BUCKETS).astype(np.uint32)
        self.sum_ms += float(durations_ms.sum())

    def percentiles_ms(
        self, now_s: float, *shares: float, seconds: int = WINDOW_S
    ) -> tuple[float | None, ...]:
        """Return the durations that these shares (0 to 1) of the last `seconds` do not exceed."""
        return percentiles_ms(self.counts(now_s, seconds), *shares)

    def counts(self, now_s: float, seconds: int = WINDOW_S) -> Counts:
        """Return the counts by bucket of the last `seconds`."""
        counts = np.zeros(BUCKETS, np.int64)
        for slot in self._live(now_s, seconds):
            counts += np.frombuffer(slot, np.uint32)
        return counts

    def counts_since_start(self) -> Counts:
        """Return the counts by bucket since the start."""
        counts = self._older.copy()
        for slot in self._slots:
            if slot is not None:
                counts += np.frombuffer(slot, np.uint32)
        return counts

    def rate_per_s(self, now_s: float) -> float:
        """Return how many durations a second ended in the last five whole seconds."""
        # The second in progress is not over: leave it out.
        return int(self.counts(int(now_s) - 1, _RATE_WINDOW_S).sum()) / _RATE_WINDOW_S

    def _turn(self, index: int, second: int) -> None:
        """Give a slot to a new second; what it held goes to the sum since the start."""
        slot = self._slots[index]
        if slot is not None:
            self._older += np.frombuffer(slot, np.uint32)
        self._slots[index] = array("I", _EMPTY)
        self._seconds[index] = second

    def _live(self, now_s: float, seconds: int) -> list[array[int]]:
        last = int(now_s)
        return [
            slot
            for slot, second in zip(self._slots, self._seconds, strict=True)
            if last - seconds < second <= last
        ]


def percentiles_ms(counts: Counts, *shares: float) -> tuple[float | None, ...]:
    """Return the durations in ms that these shares (0 to 1) of some counts do not exceed."""
    total = int(counts.sum())
    if not total:
        return (None,) * len(shares)
    ranks = np.cumsum(counts)
    return tuple(
        float(LIMITS_US[int(np.searchsorted(ranks, max(1.0, share * total)))]) / 1000
        for share in shares
    )


class Phase(StrEnum):
    """Where a request's time goes."""

    QUEUE = "queue"
    """Waiting for a worker."""
    BATCH = "batch"
    """Waiting for company beside an idle worker (`max_delay_ms`)."""
    INFER = "infer"
    """Inside the model."""
    OVERHEAD = "overhead"
    """Everything else on the device."""
    TOTAL = "total"
    """From reading the request to its answer."""


class PerformanceMetrics:
    """One loaded model's figures; counters are since it was loaded."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[Phase, PriorityClass], SlidingHistogram] = {}
        self._fresh: dict[PriorityClass, list[float]] = {each: [] for each in PriorityClass}
        """Durations of the second in progress, four an answer, not in the histograms yet."""
        self._fresh_second = 0
        self.requests_total = 0
        self.answered: Counter[PriorityClass] = Counter()
        self.refused: Counter[ErrorCode] = Counter()
        """Refused before a model ran, by reason."""
        self.failed: Counter[ErrorCode] = Counter()
        """The model or its worker failed, by code."""
        self.late_total = 0
        """Results that came after their deadline and were dropped."""
        self.cached_total = 0
        """Answers from the cache; they are in `answered` too."""
        self.coalesced_total = 0
        """Answers that shared another request's computation; they are in `answered` too."""
        self.batch_sizes: Counter[int] = Counter()
        """Batches by their number of requests."""

    def record(
        self,
        now_s: float,
        priority: PriorityClass,
        *,
        queue_ms: float,
        batch_ms: float,
        infer_ms: float,
        total_ms: float,
    ) -> None:
        """Count an answer and where its time went."""
        second = int(now_s)
        fresh = self._fresh[priority]
        if second != self._fresh_second or len(fresh) >= _FOLD_AT:
            self._fold()
            self._fresh_second = second
        self.answered[priority] += 1
        fresh += (queue_ms, batch_ms, infer_ms, total_ms)

    @property
    def phases(self) -> dict[tuple[Phase, PriorityClass], SlidingHistogram]:
        """Return the histograms by phase and priority."""
        self._fold()
        return self._histograms

    def _fold(self) -> None:
        """Put what was recorded into the histograms: many at once cost a tenth of one by one."""
        for priority, fresh in self._fresh.items():
            if not fresh:
                continue
            queue, batch, infer, total = np.array(fresh).reshape(-1, 4).T
            fresh.clear()
            for phase, values in (
                (Phase.QUEUE, queue),
                (Phase.BATCH, batch),
                (Phase.INFER, infer),
                (Phase.OVERHEAD, total - queue - batch - infer),
                (Phase.TOTAL, total),
            ):
                histogram = self._histograms.setdefault((phase, priority), SlidingHistogram())
                histogram.record_many(self._fresh_second, values)

    def percentiles_ms(
        self, now_s: float, phase: Phase, *shares: float, seconds: int = WINDOW_S
    ) -> tuple[float | None, ...]:
        """Return percentiles of one phase over all priorities."""
        counts = np.zeros(BUCKETS, np.int64)
        for (each, _), histogram in self.phases.items():
            if each is phase:
                counts += histogram.counts(now_s, seconds)
        return percentiles_ms(counts, *shares)

    def rate_per_s(self, now_s: float) -> float:
        """Return the answers a second over the last five whole seconds."""
        return sum(
            histogram.rate_per_s(now_s)
            for (phase, _), histogram in self.phases.items()
            if phase is Phase.TOTAL
        )
