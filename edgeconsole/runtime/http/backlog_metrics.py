"""What the agent's backlog exposes at `/metrics`: the names, and their values. docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgeconsole.protocol.telemetry import BacklogSample
from edgeconsole.runtime.http.metric import Kind, Metric

KEPT: Final = Metric(
    "edgeconsole_backlog_writable",
    Kind.GAUGE,
    (),
    "1",
    "1 while telemetry can be written to the backlog, 0 while it waits in memory",
)
USED: Final = Metric(
    "edgeconsole_backlog_used_bytes",
    Kind.GAUGE,
    (),
    "bytes",
    "Bytes of the backlog in use; absent before it was read",
)
BUDGET: Final = Metric(
    "edgeconsole_backlog_budget_bytes",
    Kind.GAUGE,
    (),
    "bytes",
    "How large the backlog may be; from 90 % on it gives up what is old",
)
SAMPLES: Final = Metric(
    "edgeconsole_backlog_samples",
    Kind.GAUGE,
    (),
    "samples",
    "Samples that wait for a console; absent before it was read",
)
OLDEST: Final = Metric(
    "edgeconsole_backlog_oldest_age_seconds",
    Kind.GAUGE,
    (),
    "seconds",
    "Age of the oldest minute that is kept, by the device's clock; absent while none is",
)
ASKED: Final = Metric(
    "edgeconsole_backlog_asked_age_seconds",
    Kind.GAUGE,
    (),
    "seconds",
    "Time since a console asked for it, by the device's clock; absent if none did",
)
THINNED: Final = Metric(
    "edgeconsole_backlog_thinned_minutes",
    Kind.GAUGE,
    (),
    "minutes",
    "Minutes of which only some samples, or only the rollup, are kept; absent before it was read",
)
GAPS: Final = Metric(
    "edgeconsole_backlog_gaps",
    Kind.GAUGE,
    (),
    "gaps",
    "Stretches of which nothing is kept but that they were; absent before it was read",
)
DROPPED: Final = Metric(
    "edgeconsole_backlog_dropped_samples_total",
    Kind.COUNTER,
    (),
    "samples",
    "Samples that were removed before every console had them, since the agent's start",
)
BACKLOG_METRICS: Final = (
    KEPT,
    USED,
    BUDGET,
    SAMPLES,
    OLDEST,
    ASKED,
    THINNED,
    GAPS,
    DROPPED,
)


def backlog_values(sample: BacklogSample, now_unix_s: float) -> Iterator[tuple[Metric, float]]:
    """Return each metric with its value; what is unknown is absent."""
    yield KEPT, float(not sample.problem)
    yield BUDGET, float(sample.budget_bytes)
    yield DROPPED, float(sample.dropped_total)
    if not sample.was_read:
        return
    yield USED, float(sample.used_bytes)
    yield SAMPLES, float(sample.samples)
    yield THINNED, float(sample.thinned_blocks)
    yield GAPS, float(sample.gaps)
    for metric, since_unix_s in ((OLDEST, sample.oldest_unix_s), (ASKED, sample.asked_unix_s)):
        if since_unix_s is not None:
            # A device's clock may be set back.
            yield metric, max(0.0, now_unix_s - since_unix_s)
