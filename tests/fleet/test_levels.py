"""One table: what is known of a device, and how bad that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgeconsole.fleet.levels import Freshness, Level, freshness_of
from edgeconsole.fleet.store import DeviceView, FleetStore, LinkState
from edgeconsole.protocol.telemetry import DeviceSample, ModelSample, ModelState, Quality, Reading
from edgeconsole.specs import AgentState, FleetDevice, FleetSpec

SPEC = FleetSpec(devices=(FleetDevice("a", "ws://127.0.0.1:1"),))
LOADING = AgentState.INITIALIZING
UPKEEP = AgentState.MAINTENANCE


def degrees(value: float | None) -> Reading:
    """Return a temperature."""
    return Reading(value, "°C", "zone", Quality.MEASURED)


# What differs from a healthy device (sample fields; `model` for its model's), level, reason.
CASES: dict[str, tuple[dict[str, Any], Level, str]] = {
    "healthy": ({}, Level.OK, ""),
    "busy": ({"state": AgentState.PROCESSING}, Level.OK, ""),
    "no thermometer": ({"temp_c": degrees(None)}, Level.OK, ""),
    "no models": ({"models": ()}, Level.OK, ""),
    "error": ({"state": AgentState.ERROR, "reason": "lost"}, Level.CRITICAL, "lost"),
    "error unexplained": ({"state": AgentState.ERROR}, Level.CRITICAL, "a model cannot answer"),
    "at the limit": ({"temp_c": degrees(90.0)}, Level.CRITICAL, "90 °C, limit 90 °C"),
    "below the limit": ({"temp_c": degrees(89.9)}, Level.WARNING, "90 °C, warning from 80 °C"),
    "warm": ({"temp_c": degrees(80.0)}, Level.WARNING, "80 °C, warning from 80 °C"),
    "not yet warm": ({"temp_c": degrees(79.9)}, Level.OK, ""),
    "late": ({"model": {"p99_ms": 50.1}}, Level.CRITICAL, "p99 is 100% of the deadline"),
    "very late": ({"model": {"p99_ms": 150.0}}, Level.CRITICAL, "p99 is 300% of the deadline"),
    "just in time": ({"model": {"p99_ms": 50.0}}, Level.WARNING, "p99 is 100% of the deadline"),
    "near": ({"model": {"p99_ms": 40.0}}, Level.WARNING, "p99 is 80% of the deadline"),
    "far": ({"model": {"p99_ms": 39.9}}, Level.OK, ""),
    "late, but not active": ({"model": {"p99_ms": 90.0, "active": False}}, Level.OK, ""),
    "starting": ({"state": LOADING}, Level.WARNING, "initializing"),
    "upkeep": ({"state": UPKEEP, "reason": "going down"}, Level.WARNING, "going down"),
    "model starts": (
        {"model": {"state": ModelState.STARTING}},
        Level.WARNING,
        "digits is starting",
    ),
    "spare model failed": (
        {"model": {"state": ModelState.FAILED, "active": False}},
        Level.WARNING,
        "digits is failed",
    ),
    "error before heat": (
        {"state": AgentState.ERROR, "reason": "lost", "temp_c": degrees(99.0)},
        Level.CRITICAL,
        "lost",
    ),
    "heat before upkeep": (
        {"state": UPKEEP, "temp_c": degrees(99.0)},
        Level.CRITICAL,
        "99 °C, limit 90 °C",
    ),
    "late before warm": (
        {"temp_c": degrees(85.0), "model": {"p99_ms": 60.0}},
        Level.CRITICAL,
        "p99 is 120% of the deadline",
    ),
}


def judge(sample: DeviceSample | None, age_s: float = 0.0, reason: str = "") -> DeviceView:
    """Return how a store shows a device."""
    now = [100.0]
    store = FleetStore(SPEC, lambda: now[0])
    if reason:
        store.set_link("a", LinkState.WAITING, reason)
    if sample is not None:
        store.add_sample("a", sample)
    now[0] += age_s
    return store.devices()[0]


@pytest.mark.parametrize("case", CASES)
def test_levels(
    case: str,
    make_sample: Callable[..., DeviceSample],
    make_model: Callable[..., ModelSample],
) -> None:
    """Each condition has its level and one phrase; the worst condition is the one that shows."""
    changes, level, reason = CASES[case]
    fields = {name: value for name, value in changes.items() if name != "model"}
    if "model" in changes:
        fields["models"] = (make_model(**changes["model"]),)
    found = judge(make_sample(**fields))
    assert (found.level, found.level_reason) == (level, reason)


@pytest.mark.parametrize(
    ("age_s", "level"), [(3.0, Level.STALE), (14.9, Level.STALE), (15.0, Level.GONE)]
)
@pytest.mark.parametrize("reason", ["", "cannot be reached"])
def test_silence_hides_everything_else(
    age_s: float, level: Level, reason: str, make_sample: Callable[..., DeviceSample]
) -> None:
    """Of a device that is silent nothing else is claimed, however bad its last word was."""
    found = judge(make_sample(state=AgentState.ERROR, temp_c=degrees(120.0)), age_s, reason)
    assert (found.level, found.level_reason) == (level, reason or "silent")


@pytest.mark.parametrize("reason", ["", "cannot be reached"])
def test_never_heard_of_is_unknown(reason: str) -> None:
    """Before the first sample the level is unknown, and the link says why if it can."""
    found = judge(None, reason=reason)
    assert (found.level, found.level_reason) == (Level.UNKNOWN, reason or "not heard of yet")


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (None, Freshness.NEVER),
        (0.0, Freshness.LIVE),
        (2.0, Freshness.STALE),
        (4.0, Freshness.GONE),
    ],
)
def test_freshness_follows_the_fleet_file(age_s: float | None, expected: Freshness) -> None:
    """The two limits of `fleet.toml` are where freshness changes."""
    assert freshness_of(age_s, FleetSpec(stale_after_s=2.0, gone_after_s=4.0)) is expected


def test_the_worst_level_sorts_first() -> None:
    """A list sorted by level shows first what needs a person."""
    names = [level.name for level in sorted(Level)]
    assert names == ["CRITICAL", "FAILSAFE", "WARNING", "STALE", "GONE", "UNKNOWN", "OK"]
