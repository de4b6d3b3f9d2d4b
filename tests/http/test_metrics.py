"""`/metrics`: documented, parseable, and in agreement with what was sent."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from edgeconsole.client import EdgeClient
from edgeconsole.runtime.http.metric import Kind
from edgeconsole.runtime.http.metrics import METRICS, PREFIX
from edgeconsole.runtime.http.readings import (
    BATCH_LE,
    DURATION_LE_S,
    fold_durations,
    fold_sizes,
)
from edgeconsole.runtime.serving.metrics import SlidingHistogram

DOCS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"\| `(\S+)` \| (\w+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
DIGITS = {"model": "digits", "version": "1", "variant": "fp32"}


def test_every_metric_is_documented_as_it_is():
    """The table in docs/metrics.md and the code have the same rows, in the same order."""
    rows = [tuple(cell.strip() for cell in row) for row in ROW.findall(DOCS)]
    assert rows == [
        (
            metric.name,
            metric.kind.value,
            ", ".join(metric.labels) or "–",
            metric.unit,
            metric.meaning,
        )
        for metric in METRICS
    ]


def test_the_bounds_are_documented():
    """A reader of the histograms knows their bounds."""
    assert f": {', '.join(str(le) for le in DURATION_LE_S)}. " in DOCS
    assert f": {', '.join(str(le) for le in BATCH_LE)}.\n" in DOCS


def test_names_keep_the_conventions():
    """Prefix, base units and suffixes are Prometheus'; no name is there twice."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith(PREFIX)
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_info") is (metric.kind is Kind.INFO)
        for unit in ("seconds", "bytes"):
            base = metric.name.removesuffix("_total")
            assert base.endswith(unit) is (metric.unit == unit)


async def test_a_scrape_has_each_metric_with_its_labels_and_type(door, heldout, request_for):
    """What is exposed is what the table says, nothing more; in both text formats."""
    await door.ask("/v2/models/digits/infer", request_for(heldout[0][:1]))
    plain = await door.ask("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain")
    families = list(text_string_to_metric_families(plain.body.decode()))
    known = {metric.name: metric for metric in METRICS}
    types = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        types[name] = family.type
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(known[name].labels)
    expected = {
        name: "gauge" if metric.kind is Kind.INFO else metric.kind.value
        for name, metric in known.items()
    }
    assert types == expected
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    open_ = await door.ask("/metrics", headers=accept)
    assert open_.headers["Content-Type"].startswith("application/openmetrics-text")
    assert len(list(parse_openmetrics(open_.body.decode()))) == len(METRICS)


async def test_counters_agree_with_what_was_sent_through_both_doors(new_door, heldout, request_for):
    """Answers, refusals, phases, batches and the cache count each request once, whatever its door."""
    door = new_door()
    image = heldout[0][:1]
    path = "/v2/models/digits/infer"
    for priority in (0, 5, 5, 10):
        answer = await door.ask(path, request_for(image, parameters={"priority": priority}))
        assert answer.status == 200
    async with EdgeClient(door.agent.url, token=door.agent.token) as client:
        await asyncio.gather(*(client.infer("digits", {"image": image}) for _ in range(8)))
    wide = np.repeat(image, 512, axis=0)
    late = await door.ask(path, request_for(wide, parameters={"deadline_ms": 0.001}))
    assert late.status in (429, 504)
    samples = await door.samples()

    def value(name: str, **labels: str) -> float:
        return samples[f"edgeconsole_{name}", frozenset({**DIGITS, **labels}.items())]

    assert value("requests_total") == 13
    assert [value("answers_total", priority=each) for each in ("low", "normal", "high")] == [
        1,
        10,
        1,
    ]
    assert value("refusals_total", reason=late.json["code"]) == 1
    for phase in ("queue", "batch", "infer", "overhead", "total"):
        labels = {"phase": phase, "priority": "normal"}
        assert value("request_duration_seconds_count", **labels) == 10
        assert value("request_duration_seconds_bucket", **labels, le="+Inf") == 10
    infer, total = (
        value("request_duration_seconds_sum", phase=phase, priority="normal")
        for phase in ("infer", "total")
    )
    assert 0 < infer < total < 10
    assert value("batch_size_sum") >= 12
    assert (value("queue_depth"), value("workers_ready")) == (0, 1)
    assert (value("model_ready"), value("worker_restarts_total")) == (1, 0)
    assert value("worker_resident_bytes") > 1e6
    assert samples["edgeconsole_up", frozenset()] == 1
    states = [value for (name, _), value in samples.items() if name == "edgeconsole_state"]
    assert sorted(states) == [0, 0, 0, 0, 1]


async def test_the_cache_is_counted(new_door, heldout, request_for):
    """A repeated question is a hit, a cached answer, and an answer."""
    model = 'model_id = "digits"\n'
    door = new_door(change=lambda text: text.replace(model, f"{model}cache = true\n"))
    for _ in range(3):
        await door.ask("/v2/models/digits/infer", request_for(heldout[0][:1]))
    samples = await door.samples()
    figures = {
        name: samples[f"edgeconsole_cache_{name}", frozenset()]
        for name in ("hits_total", "misses_total", "evictions_total")
    }
    assert figures == {"hits_total": 2, "misses_total": 1, "evictions_total": 0}
    assert samples["edgeconsole_cache_bytes", frozenset()] > 0
    labels = frozenset(DIGITS.items())
    assert samples["edgeconsole_cached_answers_total", labels] == 2


@given(st.lists(st.floats(0.0, 100_000.0), max_size=40))
def test_folding_never_claims_a_request_below_a_bound_it_missed(durations_ms):
    """Each bound counts at most the durations below it, and at least those 3 % below it."""
    histogram = SlidingHistogram()
    for index, duration_ms in enumerate(durations_ms):
        histogram.record(float(index), duration_ms)
    folded = fold_durations(histogram.counts_since_start(), histogram.sum_ms)
    assert folded.count == len(durations_ms)
    assert folded.total == pytest.approx(sum(durations_ms) / 1e3)
    assert list(folded.cumulative) == sorted(folded.cumulative)
    for le, count in zip(folded.le, folded.cumulative, strict=True):
        below = sum(duration_ms / 1e3 <= le for duration_ms in durations_ms)
        well_below = sum(duration_ms / 1e3 <= le / 1.04 - 2e-6 for duration_ms in durations_ms)
        assert well_below <= count <= below


def test_batch_sizes_are_folded_exactly():
    """Sizes on a bound count at it; the sum is of requests."""
    folded = fold_sizes(Counter({1: 5, 2: 1, 3: 2, 2000: 1}))
    assert folded.cumulative[:3] == (5, 6, 8)
    assert (folded.cumulative[-1], folded.count, folded.total) == (8, 9, 2013.0)
