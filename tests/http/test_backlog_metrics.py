"""The backlog at `/metrics`: its figures as they are, and nothing where they are unknown."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from edgeconsole.protocol.telemetry import BacklogSample
from edgeconsole.runtime.http import backlog_metrics as names
from edgeconsole.runtime.http.backlog_metrics import backlog_values

NOW = 1_750_000_000.0


def values(sample: BacklogSample) -> dict[str, float]:
    """Return the values of a sample by metric name."""
    return {metric.name: value for metric, value in backlog_values(sample, NOW)}


def test_every_figure_is_there_once_it_is_known():
    """Fill, ages, what was thinned and dropped: all metrics have their value."""
    sample = BacklogSample(
        used_bytes=1 << 20,
        budget_bytes=16 << 20,
        samples=500,
        oldest_unix_s=NOW - 3600.0,
        asked_unix_s=NOW - 20.0,
        thinned_blocks=7,
        dropped_total=60,
        gaps=1,
    )
    found = values(sample)
    assert set(found) == {metric.name for metric in names.BACKLOG_METRICS}
    assert found[names.KEPT.name] == 1.0
    assert found[names.USED.name] == 1 << 20
    assert found[names.OLDEST.name] == 3600.0
    assert found[names.ASKED.name] == 20.0
    assert found[names.THINNED.name] == 7.0
    assert found[names.GAPS.name] == 1.0
    assert found[names.DROPPED.name] == 60.0


def test_what_is_unknown_is_absent():
    """A backlog that could not be read has no fill of 0, and says that it is not written."""
    unread = values(BacklogSample(0, 16 << 20, problem="the disk is full"))
    assert set(unread) == {names.KEPT.name, names.BUDGET.name, names.DROPPED.name}
    assert unread[names.KEPT.name] == 0.0
    nobody = values(BacklogSample(4096, 16 << 20))
    assert names.ASKED.name not in nobody
    assert names.OLDEST.name not in nobody


def test_a_clock_that_was_set_back_gives_no_negative_age():
    """Ages are by the device's wall clock, which may jump."""
    found = values(BacklogSample(4096, 16 << 20, oldest_unix_s=NOW + 50.0))
    assert found[names.OLDEST.name] == 0.0


async def test_an_agents_backlog_is_on_its_page(door):
    """A real agent's scrape has the fill of its own file."""
    answer = await door.ask("/metrics")
    families = {each.name: each for each in text_string_to_metric_families(answer.body.decode())}
    assert families[names.USED.name].samples[0].value >= 4096
    assert families[names.KEPT.name].samples[0].value == 1.0
    assert not families[names.ASKED.name].samples
