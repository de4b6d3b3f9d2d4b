"""The names of all metrics: what `/metrics` exposes, and what docs/metrics.md lists. No values here."""

from __future__ import annotations

from typing import Final

from edgeconsole.runtime.http.backlog_metrics import BACKLOG_METRICS
from edgeconsole.runtime.http.metric import Kind, Metric
from edgeconsole.runtime.http.sensor_metrics import SENSOR_METRICS
from edgeconsole.runtime.http.thermal_metrics import THERMAL_METRICS

PREFIX: Final = "edgeconsole_"


_MODEL: Final = ("model", "version", "variant")
_ROUTE: Final = ("model", "rung")

UP: Final = Metric("edgeconsole_up", Kind.GAUGE, (), "1", "1 while the agent answers")
STATE: Final = Metric(
    "edgeconsole_state",
    Kind.GAUGE,
    ("state",),
    "1",
    "1 for what the agent is doing, 0 for the rest",
)
AGENT: Final = Metric(
    "edgeconsole_agent_info",
    Kind.INFO,
    ("agent_id", "device", "version", "boot_id", "tier"),
    "1",
    "Who the agent is; the value is always 1",
)
MODEL_READY: Final = Metric(
    "edgeconsole_model_ready", Kind.GAUGE, _MODEL, "1", "1 while the model can answer, else 0"
)
DURATION: Final = Metric(
    "edgeconsole_request_duration_seconds",
    Kind.HISTOGRAM,
    (*_MODEL, "priority", "phase"),
    "seconds",
    "Where answered requests spent their time: phase queue, batch, infer, overhead or total",
)
REQUESTS: Final = Metric(
    "edgeconsole_requests_total",
    Kind.COUNTER,
    _MODEL,
    "requests",
    "Requests that came to the model",
)
ANSWERS: Final = Metric(
    "edgeconsole_answers_total",
    Kind.COUNTER,
    (*_MODEL, "priority"),
    "requests",
    "Requests answered by the model itself, or from the cache",
)
DEGRADED: Final = Metric(
    "edgeconsole_degraded_answers_total",
    Kind.COUNTER,
    _ROUTE,
    "requests",
    "Requests answered by a lower rung in the model's place; not among the answers",
)
RUNG: Final = Metric(
    "edgeconsole_rung",
    Kind.GAUGE,
    _ROUTE,
    "1",
    "1 for the rung of the failsafe ladder a model's route stands on, 0 for the rest",
)
HEDGED: Final = Metric(
    "edgeconsole_hedged_answers_total",
    Kind.COUNTER,
    ("model",),
    "requests",
    "Requests a lower rung answered because the primary would have been late; they are among the degraded",
)
SHADOWS: Final = Metric(
    "edgeconsole_shadow_requests_total",
    Kind.COUNTER,
    ("model",),
    "requests",
    "Requests the fallback model ran too, to stay proven",
)
LADDER_REFUSALS: Final = Metric(
    "edgeconsole_ladder_refusals_total",
    Kind.COUNTER,
    ("model", "reason"),
    "requests",
    "Requests the failsafe ladder refused without asking a model, by error code",
)
REFUSALS: Final = Metric(
    "edgeconsole_refusals_total",
    Kind.COUNTER,
    (*_MODEL, "reason"),
    "requests",
    "Requests refused before the model ran, by error code",
)
FAILURES: Final = Metric(
    "edgeconsole_failures_total",
    Kind.COUNTER,
    (*_MODEL, "code"),
    "requests",
    "Requests the model or its worker failed, by error code",
)
LATE: Final = Metric(
    "edgeconsole_late_results_total",
    Kind.COUNTER,
    _MODEL,
    "requests",
    "Results that came after their deadline and were dropped",
)
CACHED: Final = Metric(
    "edgeconsole_cached_answers_total",
    Kind.COUNTER,
    _MODEL,
    "requests",
    "Answers from the cache; they are among the answers",
)
COALESCED: Final = Metric(
    "edgeconsole_coalesced_total",
    Kind.COUNTER,
    _MODEL,
    "requests",
    "Answers that shared another request's computation; they are among the answers",
)
BATCH_SIZE: Final = Metric(
    "edgeconsole_batch_size", Kind.HISTOGRAM, _MODEL, "requests", "Requests that ran together"
)
QUEUE_DEPTH: Final = Metric(
    "edgeconsole_queue_depth", Kind.GAUGE, _MODEL, "requests", "Requests that wait for a worker"
)
IN_FLIGHT: Final = Metric(
    "edgeconsole_in_flight", Kind.GAUGE, _MODEL, "requests", "Requests that workers have"
)
WORKERS_READY: Final = Metric(
    "edgeconsole_workers_ready", Kind.GAUGE, _MODEL, "workers", "Workers that can serve now"
)
WORKER_RESTARTS: Final = Metric(
    "edgeconsole_worker_restarts_total",
    Kind.COUNTER,
    _MODEL,
    "workers",
    "Workers that ended and were replaced",
)
WORKER_BYTES: Final = Metric(
    "edgeconsole_worker_resident_bytes",
    Kind.GAUGE,
    _MODEL,
    "bytes",
    "Resident memory of the model's workers together; absent without workers",
)
CACHE_HITS: Final = Metric(
    "edgeconsole_cache_hits_total", Kind.COUNTER, (), "requests", "Look-ups the cache could answer"
)
CACHE_MISSES: Final = Metric(
    "edgeconsole_cache_misses_total", Kind.COUNTER, (), "requests", "Look-ups it could not answer"
)
CACHE_EVICTIONS: Final = Metric(
    "edgeconsole_cache_evictions_total", Kind.COUNTER, (), "answers", "Answers it dropped for room"
)
CACHE_EXPIRATIONS: Final = Metric(
    "edgeconsole_cache_expirations_total",
    Kind.COUNTER,
    (),
    "answers",
    "Answers it dropped because they were too old",
)
CACHE_BYTES: Final = Metric(
    "edgeconsole_cache_bytes", Kind.GAUGE, (), "bytes", "Memory its answers use"
)

METRICS: Final[tuple[Metric, ...]] = (
    UP,
    STATE,
    AGENT,
    MODEL_READY,
    DURATION,
    REQUESTS,
    ANSWERS,
    DEGRADED,
    RUNG,
    HEDGED,
    SHADOWS,
    LADDER_REFUSALS,
    REFUSALS,
    FAILURES,
    LATE,
    CACHED,
    COALESCED,
    BATCH_SIZE,
    QUEUE_DEPTH,
    IN_FLIGHT,
    WORKERS_READY,
    WORKER_RESTARTS,
    WORKER_BYTES,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_EVICTIONS,
    CACHE_EXPIRATIONS,
    CACHE_BYTES,
    *BACKLOG_METRICS,
    *THERMAL_METRICS,
    *SENSOR_METRICS,
)
