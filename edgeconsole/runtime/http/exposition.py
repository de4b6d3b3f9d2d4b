"""`/metrics`: a snapshot in the Prometheus text format, or in OpenMetrics for who asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from edgeconsole.runtime.http.metric import Kind, Metric
from edgeconsole.runtime.http.readings import Distribution, Labels, Reading, Snapshot, take_snapshot

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent
_BREATH_SAMPLES: Final = 32
"""About 0.5 ms of work."""
_BREATH_S: Final = 1e-5


class SnapshotCollector(Collector):
    """Gives one snapshot to prometheus-client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Family]:
        """Return the metric families."""
        for metric, readings in self._snapshot.readings.items():
            family = _family(metric, readings)
            family.samples = _Breathing(family.samples)
            yield family


class _Breathing(list[Sample]):
    """Samples whose reader stands back now and then: else it holds the interpreter for 5 ms a time."""

    def __iter__(self) -> Iterator[Sample]:
        """Return the samples, with pauses."""
        for index, sample in enumerate(super().__iter__()):
            if index % _BREATH_SAMPLES == _BREATH_SAMPLES - 1:
                time.sleep(_BREATH_S)
            yield sample


class MetricsPage:
    """Renders scrapes, one at a time."""

    def __init__(self, agent: EdgeIntelligentAgent) -> None:
        self._agent = agent
        self._turn = asyncio.Lock()

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type; text is made off the loop."""
        async with self._turn:
            snapshot = await take_snapshot(self._agent)
            return await asyncio.to_thread(encode_snapshot, snapshot, accept)


def encode_snapshot(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """Encode a snapshot in the format an `Accept` header asks for; returns it and its type."""
    encoder, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot))
    return encoder(registry), content_type


def _family(metric: Metric, readings: list[tuple[Labels, Reading]]) -> Family:
    name, meaning = metric.name, metric.meaning
    match metric.kind:
        case Kind.INFO:
            info = InfoMetricFamily(name.removesuffix("_info"), meaning)
            for labels, _ in readings:
                info.add_metric([], dict(zip(metric.labels, labels, strict=True)))
            return info
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(name, meaning, labels=metric.labels)
            for labels, reading in readings:
                assert isinstance(reading, Distribution)
                histogram.add_metric(labels, _buckets(reading), reading.total)
            return histogram
        case Kind.COUNTER | Kind.GAUGE:
            make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = make(name, meaning, labels=metric.labels)
            for labels, reading in readings:
                assert isinstance(reading, float)
                family.add_metric(labels, reading)
            return family


def _buckets(distribution: Distribution) -> list[tuple[str, float]]:
    pairs = zip(distribution.le, distribution.cumulative, strict=True)
    return [
        *((str(le), float(count)) for le, count in pairs),
        ("+Inf", float(distribution.count)),
    ]
