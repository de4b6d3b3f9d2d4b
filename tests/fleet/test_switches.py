"""Before and after another bundle answers: which moments count, what is unknown, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgeconsole.fleet import switches
from edgeconsole.fleet.store import HISTORY_SAMPLES, FleetStore, Point
from edgeconsole.fleet.switches import Figures
from edgeconsole.protocol.telemetry import MODEL_ACTIVATED, Quality, Reading, activated_text
from edgeconsole.specs import FleetDevice, FleetSpec

Make = Callable[..., Any]
OLD, NEW = "digits/1/fp32", "digits/1/int8"


@pytest.fixture
def store(clock: Any) -> FleetStore:
    """Return a store of one device."""
    device = FleetDevice(id="a", url="ws://127.0.0.1:1")
    return FleetStore(FleetSpec(name="lab", devices=(device,)), clock)


@pytest.fixture
def say(store: FleetStore, clock: Any, make_sample: Make, make_model: Make) -> Make:
    """Return a function that lets the device say something; its clock is 500 s behind ours."""
    counter = iter(range(10_000))

    def sample(variant: str, p99_ms: float | None, *, temp_c: float = 50.0, mib: int = 9) -> None:
        clock.now += 1.0
        model = make_model(
            variant=variant,
            p50_ms=None if p99_ms is None else p99_ms / 2,
            p99_ms=p99_ms,
            rss_bytes=mib << 20,
        )
        store.add_sample(
            "a",
            make_sample(
                next(counter),
                time_unix_s=clock.now - 500.0 + 1e9,
                temp_c=Reading(temp_c, "°C", "zone", Quality.MEASURED),
                models=(model,),
            ),
        )

    return sample


def switch(store: FleetStore, clock: Any, make_event: Make, key: str = NEW, seq: int = 1) -> None:
    """Let the device tell of a switch now."""
    message = activated_text(key, key.partition("/")[0])
    store.add_event(
        "a",
        make_event(seq, kind=MODEL_ACTIVATED, message=message, time_unix_s=clock.now - 500.0 + 1e9),
    )


def test_figures_of_before_and_after(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """Medians of a minute before and of the latest minute after, on our clock; a spike is no figure."""
    for each in range(100):
        say("fp32", 20.0 if each != 70 else 500.0, temp_c=80.0, mib=180)
    switch(store, clock, make_event)
    at = clock.now
    for _ in range(30):
        say("int8", 8.0, temp_c=70.0, mib=60)
    found = store.switch("a")
    assert found is not None
    assert (found.at, found.before_key, found.after_key) == (at, OLD, NEW)
    assert found.before == Figures(10.0, 20.0, 80.0, 180 << 20, 59.0)
    now = switches.after(store.points("a"), found, clock.now)
    assert now == Figures(4.0, 8.0, 70.0, 60 << 20, 27.0)


def test_before_is_kept_when_the_chart_has_moved_on(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """Charts forget after ten minutes; what a switch changed is still known."""
    for _ in range(10):
        say("fp32", 20.0)
    switch(store, clock, make_event)
    for _ in range(HISTORY_SAMPLES + 5):
        say("int8", 8.0)
    found = store.switch("a")
    assert found is not None
    assert found.before.p99_ms == 20.0


def test_what_is_not_known_is_none(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """Without traffic there are no latencies, without sensors no temperature."""
    say("fp32", None)
    switch(store, clock, make_event)
    found = store.switch("a")
    assert found is not None
    assert (found.before.p50_ms, found.before.p99_ms, found.before.rss_bytes) == (
        None,
        None,
        9 << 20,
    )
    assert switches.after(store.points("a"), found, clock.now) == Figures()


def test_activating_what_answers_already_is_no_switch(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """Nor is any other event."""
    say("int8", 8.0)
    switch(store, clock, make_event)
    store.add_event("a", make_event(2, kind="other", message=activated_text(OLD, "digits")))
    assert store.switch("a") is None


def test_the_latest_switch_counts(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """A roll-back takes the place of the switch it undoes."""
    say("fp32", 20.0)
    switch(store, clock, make_event)
    say("int8", 8.0)
    switch(store, clock, make_event, key=OLD, seq=2)
    found = store.switch("a")
    assert found is not None
    assert (found.before_key, found.after_key, found.before.p99_ms) == (NEW, OLD, 8.0)


def test_another_model_s_latencies_are_not_taken_for_its_own() -> None:
    """Of several models one stands for the device; its figures are that one's alone."""
    points = [
        Point(at, 1.0, 2.0, None, 60.0, None, None, None, 1.0, key=key, rss_bytes=7)
        for at, key in ((1.0, "cats/1/fp32"), (2.0, "digits-tiny/1/fp32"))
    ]
    assert switches.seen_before(points, 3.0, "digits") == ""
    found = switches.before(points, 3.0, "")
    assert found == Figures(None, None, 60.0, None, 1.0)


def heard(at: float, key: str, p99_ms: float) -> Point:
    """Return a point as the history has it."""
    return Point(at, p99_ms / 2, None, p99_ms, 77.0, None, None, None, 1.0, key, 5 << 20)


@pytest.mark.parametrize("ago_s", [100.0, 3000.0])
def test_what_an_earlier_console_saw_is_recalled(
    store: FleetStore, clock: Any, say: Make, make_event: Make, ago_s: float
) -> None:
    """Which bundle answered and its figures, by the device's clock; also what charts have forgotten."""
    told_at = clock.now - 500.0 + 1e9 - ago_s
    minute = [heard(told_at - ago, OLD, 10.0) for ago in range(59, -1, -1)]
    misplaced = [heard(clock.now - ago, NEW, 8.0) for ago in range(200, 0, -1)]
    message = activated_text(NEW, "digits")
    told = make_event(1, kind=MODEL_ACTIVATED, message=message, time_unix_s=told_at)
    store.recall("a", misplaced, [told, make_event(2)], minute)
    assert store.switch("a") is None
    say("int8", 8.0)
    found = store.switch("a")
    assert found is not None
    assert (found.before_key, found.after_key) == (OLD, NEW)
    assert found.before == Figures(5.0, 10.0, 77.0, 5 << 20, 59.0)
    assert abs(found.at - (clock.now - 1.0 - ago_s)) < 0.01


def test_a_switch_is_no_news_after_an_hour(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """Nor one that nothing was written down before, once the charts have moved on."""
    for ago_s, minute in ((3600.0, True), (601.0, False)):
        told_at = clock.now - 500.0 + 1e9 - ago_s
        message = activated_text(NEW, "digits")
        told = make_event(3, kind=MODEL_ACTIVATED, message=message, time_unix_s=told_at)
        again = FleetStore(store.spec, clock)
        again.recall("a", [], [told], [heard(told_at, OLD, 10.0)] if minute else [])
        store.recall("a", [], [told])
        say("int8", 8.0)
        again.add_sample("a", store.device("a").sample)  # type: ignore[union-attr,arg-type]
        assert again.switch("a") is None
        assert store.switch("a") is None


def test_what_was_activated_again_is_no_switch_after_a_restart(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """The history says that it answered before as well."""
    told_at = clock.now - 500.0 + 1e9 - 10.0
    message = activated_text(NEW, "digits")
    told = make_event(1, kind=MODEL_ACTIVATED, message=message, time_unix_s=told_at)
    store.recall("a", [], [told], [heard(told_at - 1.0, NEW, 8.0)])
    say("int8", 8.0)
    assert store.switch("a") is None


def test_what_comes_late_fills_in_what_was_before(
    store: FleetStore, clock: Any, say: Make, make_event: Make
) -> None:
    """A switch while no console was there: the device kept its figures, and they come afterwards."""
    switch(store, clock, make_event)
    at = clock.now
    say("int8", 8.0)
    found = store.switch("a")
    assert found is not None
    assert (found.before_key, found.before.p99_ms) == ("", None)
    late = [heard(at - ago, OLD, 10.0) for ago in range(30, -1, -1)]
    store.refill("a", [*late, *store.points("a")], [])
    found = store.switch("a")
    assert found is not None
    assert (found.before_key, found.before.p99_ms, found.before.seconds) == (OLD, 10.0, 30.0)


@pytest.mark.parametrize(
    ("kind", "message", "key"),
    [
        (MODEL_ACTIVATED, activated_text(NEW, "digits"), NEW),
        (MODEL_ACTIVATED, activated_text("a answers to b/1/x", "a answers to b"), "a"),
        (MODEL_ACTIVATED, "something else", ""),
        ("other", activated_text(NEW, "digits"), ""),
    ],
)
def test_which_bundle_an_event_is_about(
    make_event: Make, kind: str, message: str, key: str
) -> None:
    """Only an event that tells of a switch has one; strange messages do no harm."""
    found = make_event(1, kind=kind, message=message).activated
    assert found == key or (key == "a" and found.startswith("a"))
