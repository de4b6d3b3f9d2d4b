"""The live picture: ages by the clock, views that stay as they were, bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pytest

from edgeconsole.fleet.levels import Freshness, Level
from edgeconsole.fleet.store import (
    HISTORY_SAMPLES,
    OWN_BOOT,
    RECENT_EVENTS,
    FleetStore,
    LinkState,
    Point,
    representative,
)
from edgeconsole.protocol.control import HelloReply
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, ModelSample, Quality, Reading
from edgeconsole.specs import (
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    FleetDevice,
    FleetSpec,
    LatencyRequirement,
    ThermalConstraints,
)

MakeSample = Callable[..., DeviceSample]
MakeModel = Callable[..., ModelSample]
MakeEvent = Callable[..., DeviceEvent]


class Clock(Protocol):
    """A clock that moves when told."""

    now: float

    def __call__(self) -> float:
        """Return the time."""
        ...


@pytest.fixture
def store(clock: Clock) -> FleetStore:
    """Return a store of two devices, stale after 3 s and gone after 15 s."""
    devices = (
        FleetDevice("b", "ws://127.0.0.1:1", site="lyon"),
        FleetDevice("a", "ws://127.0.0.1:2"),
    )
    return FleetStore(FleetSpec(name="lab", devices=devices), clock)


def hello(**limits: float) -> HelloReply:
    """Return a hello of a device with its own temperature limits."""
    return HelloReply(
        id="1",
        version=1,
        agent_id="b",
        agent_version="0.1.0",
        boot_id="boot-1",
        tier=EdgeDeploymentTier.DEVICE_EDGE,
        latency_requirement=LatencyRequirement.INTERACTIVE,
        device=EdgeDeviceSpec(thermal_constraints=ThermalConstraints(**limits)),
        platform="Linux",
    )


def view(store: FleetStore, device_id: str = "b") -> Any:
    """Return a device that is there."""
    found = store.device(device_id)
    assert found is not None
    return found


def test_devices_keep_the_order_of_the_file(store: FleetStore) -> None:
    """Ids and views come in the order a person wrote them."""
    assert store.ids() == ("b", "a")
    assert [each.id for each in store.devices()] == ["b", "a"]
    assert store.device("absent") is None


def test_a_device_never_heard_of(store: FleetStore) -> None:
    """Before the first sample everything that was measured is unknown, and nothing is invented."""
    found = view(store)
    assert (found.id, found.site, found.url) == ("b", "lyon", "ws://127.0.0.1:1")
    assert (found.link, found.freshness) == (LinkState.CONNECTING, Freshness.NEVER)
    assert found.level is Level.UNKNOWN
    assert (found.sample, found.age_s, found.active, found.budget) == (None, None, None, None)


@pytest.mark.parametrize(
    ("age_s", "freshness", "level"),
    [
        (0.0, Freshness.LIVE, Level.OK),
        (2.999, Freshness.LIVE, Level.OK),
        (3.0, Freshness.STALE, Level.STALE),
        (14.999, Freshness.STALE, Level.STALE),
        (15.0, Freshness.GONE, Level.GONE),
        (1e6, Freshness.GONE, Level.GONE),
    ],
)
def test_age_decides_freshness(
    store: FleetStore,
    clock: Clock,
    make_sample: MakeSample,
    *,
    age_s: float,
    freshness: Freshness,
    level: Level,
) -> None:
    """A sample ages by the console's clock alone, and its level with it."""
    store.add_sample("b", make_sample(time_unix_s=0.0))
    clock.now += age_s
    found = view(store)
    assert found.age_s == pytest.approx(age_s)
    assert (found.freshness, found.level) == (freshness, level)
    assert view(store, "a").freshness is Freshness.NEVER


def test_every_look_shows_the_age_of_now(
    store: FleetStore, clock: Clock, make_sample: MakeSample
) -> None:
    """Ages go on between looks without anything being heard, and start over with a sample."""
    store.add_sample("b", make_sample(1))
    ages = []
    for step_s in (0.5, 1.0, 2.0, 20.0):
        clock.now += step_s
        ages.append((view(store).age_s, view(store).freshness.value))
    store.add_sample("b", make_sample(2))
    ages.append((view(store).age_s, view(store).freshness.value))
    expected = [(0.5, "live"), (1.5, "live"), (3.5, "stale"), (23.5, "gone"), (0.0, "live")]
    assert ages == expected


def test_a_view_stays_as_it_was(store: FleetStore, clock: Clock, make_sample: MakeSample) -> None:
    """What a screen holds does not change under it, nor can the screen change it."""
    store.set_link("b", LinkState.LIVE)
    store.add_sample("b", make_sample(1))
    before = view(store)
    clock.now += 5
    store.add_sample("b", make_sample(2))
    store.set_link("b", LinkState.WAITING, "broken", 2.0)
    assert (before.sample.seq, before.age_s, before.link) == (1, 0.0, LinkState.LIVE)
    after = view(store)
    assert (after.sample.seq, after.link, after.link_reason) == (2, LinkState.WAITING, "broken")
    with pytest.raises(AttributeError):
        before.link = LinkState.WAITING


def test_links_show_when_they_try_again(store: FleetStore, clock: Clock) -> None:
    """The wait for the next try counts down to zero and not below; a live link has none."""
    store.set_link("b", LinkState.WAITING, "closed", 2.0)
    waits = []
    for _ in range(4):
        waits.append(view(store).retry_in_s)
        clock.now += 0.75
    assert waits == [2.0, 1.25, 0.5, 0.0]
    store.set_link("b", LinkState.LIVE)
    assert (view(store).retry_in_s, view(store).link_reason) == (None, "")


def test_the_link_explains_a_silent_device(
    store: FleetStore, clock: Clock, make_sample: MakeSample
) -> None:
    """Why a link broke is also why the device is silent."""
    store.set_link("b", LinkState.REFUSED, "wrong token")
    assert view(store).level_reason == "wrong token"
    store.add_sample("b", make_sample())
    assert view(store).level_reason == ""
    clock.now += 4
    assert (view(store).level, view(store).level_reason) == (Level.STALE, "wrong token")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, (80.0, 90.0)),
        ({"max_temp_c": 95.0}, (80.0, 95.0)),
        ({"warn_temp_c": 60.0, "max_temp_c": 70.0}, (60.0, 70.0)),
    ],
)
def test_a_device_may_name_its_own_limits(
    store: FleetStore, limits: dict[str, float], expected: tuple[float, float]
) -> None:
    """The fleet's limits hold where a device names none."""
    assert (view(store).warn_temp_c, view(store).max_temp_c) == (80.0, 90.0)
    store.add_hello("b", hello(**limits))
    assert (view(store).warn_temp_c, view(store).max_temp_c) == expected


def test_new_limits_judge_the_sample_that_is_there(
    store: FleetStore, make_sample: MakeSample
) -> None:
    """A hello after a sample changes the level at once."""
    store.add_sample("b", make_sample(temp_c=Reading(85.0, "°C", "z", Quality.MEASURED)))
    assert view(store).level is Level.WARNING
    store.add_hello("b", hello(max_temp_c=82.0))
    assert view(store).level is Level.CRITICAL


@pytest.mark.parametrize(
    ("models", "expected", "budget"),
    [
        ([], None, None),
        ([("idle", False, 10.0, 9.0)], None, None),
        ([("a", True, 50.0, None), ("b", True, 50.0, None)], "a", None),
        ([("a", True, 50.0, 10.0), ("b", True, 10.0, 8.0)], "b", 0.8),
        ([("a", True, 50.0, None), ("b", True, 10.0, 1.0)], "b", 0.1),
        ([("a", False, 1.0, 9.0), ("b", True, 10.0, 20.0)], "b", 2.0),
    ],
)
def test_the_model_nearest_its_deadline_stands_for_the_device(
    store: FleetStore,
    make_sample: MakeSample,
    make_model: MakeModel,
    *,
    models: list[tuple[str, bool, float, float | None]],
    expected: str | None,
    budget: float | None,
) -> None:
    """Only active models count; among them the one that used most of its deadline."""
    sample = make_sample(
        models=tuple(
            make_model(model=name, active=active, deadline_ms=deadline_ms, p99_ms=p99_ms)
            for name, active, deadline_ms, p99_ms in models
        )
    )
    store.add_sample("b", sample)
    active = view(store).active
    assert active == representative(sample)
    assert (active.model if active else None) == expected
    assert view(store).budget == (None if budget is None else pytest.approx(budget))


def test_nothing_stands_for_no_sample() -> None:
    """Without a sample there is no model to show."""
    assert representative(None) is None


def test_points_are_those_of_the_window(
    store: FleetStore, clock: Clock, make_sample: MakeSample, make_model: MakeModel
) -> None:
    """A chart gets the points of its window, oldest first, at the times they were heard."""
    for seq in range(10):
        clock.now = 1000.0 + seq
        rates = (make_model(rate_per_s=2.0, p99_ms=float(seq)), make_model(rate_per_s=1.5))
        store.add_sample("b", make_sample(seq, models=rates))
    points = store.points("b", 4.0)
    assert [point.at for point in points] == [1005.0, 1006.0, 1007.0, 1008.0, 1009.0]
    assert [point.p99_ms for point in points] == [5.0, 6.0, 7.0, 8.0, 9.0]
    last = points[-1]
    assert (last.temp_c, last.power_w, last.cpu_percent) == (50.0, None, 10.0)
    assert (last.memory_percent, last.rate_per_s) == (20.0, 3.5)
    clock.now += 100
    assert store.points("b", 4.0) == ()
    assert store.points("a") == ()


def test_points_and_events_are_bounded(
    store: FleetStore, clock: Clock, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """The oldest make room: a console that runs for months does not grow."""
    for seq in range(HISTORY_SAMPLES + 50):
        clock.now += 0.001
        store.add_sample("b", make_sample(seq))
        store.add_event("b", make_event(seq))
    assert len(store.points("b")) == HISTORY_SAMPLES
    events = store.events("b")
    assert len(events) == RECENT_EVENTS
    assert events[-1].seq == HISTORY_SAMPLES + 49


def test_events_of_all_devices_come_in_order(store: FleetStore, make_event: MakeEvent) -> None:
    """Events of one device are its own; those of all are merged by time."""
    for device_id, at in (("b", 3.0), ("a", 1.0), ("a", 2.0), ("b", 4.0)):
        store.add_event(device_id, make_event(device_id=device_id, time_unix_s=at))
    assert [event.time_unix_s for event in store.events()] == [1.0, 2.0, 3.0, 4.0]
    assert [event.time_unix_s for event in store.events("b")] == [3.0, 4.0]


def test_last_event_says_where_to_go_on(store: FleetStore, make_event: MakeEvent) -> None:
    """A link asks for what came after the latest event of the latest start it heard."""
    assert store.last_event("b") == ("", 0)
    store.add_event("b", make_event(7))
    store.add_event("b", make_event(1, boot_id="boot-2"))
    assert store.last_event("b") == ("boot-2", 1)
    assert store.last_event("a") == ("", 0)


def test_recalled_past_comes_before_the_present(
    store: FleetStore, clock: Clock, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """What an earlier console saw fills charts and events, without making a device look alive."""
    past = [Point(clock.now - 60 + at, *(1.0,) * 7, rate_per_s=2.0) for at in range(3)]
    store.recall("b", past, [make_event(5)])
    assert view(store).freshness is Freshness.NEVER
    assert store.last_event("b") == ("boot-1", 5)
    store.add_sample("b", make_sample())
    store.add_event("b", make_event(6))
    assert [point.at for point in store.points("b")] == [940.0, 941.0, 942.0, 1000.0]
    assert [event.seq for event in store.events("b")] == [5, 6]


def test_what_was_missing_is_put_in_its_place(
    store: FleetStore, clock: Clock, make_sample: MakeSample, make_event: MakeEvent
) -> None:
    """The history's points take the place of those of their time; newer ones and all events stay."""
    for _ in range(3):
        clock.now += 10
        store.add_sample("b", make_sample())
    store.add_event("b", make_event(9))
    filled = [Point(1000.0 + at, *(1.0,) * 7, rate_per_s=2.0) for at in range(21)]
    store.refill("b", filled, [make_event(8), make_event(9), make_event(3, boot_id="boot-0")])
    at = [point.at for point in store.points("b")]
    assert at == [*(1000.0 + second for second in range(21)), 1030.0]
    events = [(event.boot_id, event.seq) for event in store.events("b")]
    assert events == [("boot-0", 3), ("boot-1", 8), ("boot-1", 9)]
    store.refill("b", [], [])
    assert [point.at for point in store.points("b")] == at


def test_what_consoles_notice_is_no_event_of_the_device(
    store: FleetStore, make_event: MakeEvent
) -> None:
    """An alert is shown among the events, and does not change where a link goes on."""
    store.add_event("b", make_event(7))
    store.add_event("b", make_event(1, boot_id=f"{OWN_BOOT}x", kind="alert_hot"))
    assert store.last_event("b") == ("boot-1", 7)
    assert [event.kind for event in store.events("b")] == ["kind", "alert_hot"]
