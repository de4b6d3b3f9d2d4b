"""What the console knows of each device now: latest sample, its age, a short history, events.

Plain Python without I/O. Links write, screens read; the monotonic clock is an argument so that
ages can be tested. All views are immutable.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from typing import Final

import msgspec

from edgeconsole.fleet import switches
from edgeconsole.fleet.levels import Freshness, Level, freshness_of, level_of
from edgeconsole.fleet.orders import Standing
from edgeconsole.fleet.routes import worst_route
from edgeconsole.fleet.switches import Switch
from edgeconsole.protocol.control import HelloReply
from edgeconsole.protocol.failsafe import RouteSample
from edgeconsole.protocol.figures import budget, representative
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, ModelSample
from edgeconsole.specs import FleetDevice, FleetSpec, ThermalConstraints

HISTORY_SAMPLES: Final = 600
"""Ten minutes at one sample a second, enough for the widest chart."""
RECENT_EVENTS: Final = 200
WARM_BELOW_C: Final = 15.0
"""A device is warm so far below its limit, where it names no other temperature."""
OWN_BOOT: Final = "console-"
"""Begins the boot id of events that consoles make of what they notice."""
_SAME_S: Final = 0.5
"""Points that are nearer than this are one sample, once heard and once read."""


class LinkState(StrEnum):
    """What the connection to a device is doing."""

    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    """Broken; the next try comes at `retry_at`."""
    REFUSED = "refused"
    """The device does not accept us; tried again slowly, and a person has to act."""


class Point(msgspec.Struct, frozen=True, gc=False):
    """One moment of the charts; `None` where the device did not say.

    A struct the collector need not look at: a fleet has hundreds of thousands.
    """

    at: float
    """Monotonic seconds on the console."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    temp_c: float | None
    power_w: float | None
    cpu_percent: float | None
    memory_percent: float | None
    rate_per_s: float
    key: str = ""
    """The bundle that the latencies are of, `model/version/variant`; empty: none, or not known."""
    rss_bytes: int | None = None
    """The memory of its workers."""


class DeviceView(msgspec.Struct, frozen=True, gc=False):
    """One device as a screen shows it at one moment.

    A struct the collector need not look at (it holds no cycles): screens make one of every device
    several times a second.
    """

    id: str
    site: str
    url: str
    link: LinkState
    link_reason: str
    retry_in_s: float | None
    hello: HelloReply | None
    sample: DeviceSample | None
    age_s: float | None
    """Seconds since the latest sample; `None` if there never was one."""
    freshness: Freshness
    level: Level
    level_reason: str
    """Why the level is what it is, in one phrase."""
    active: ModelSample | None
    """The model that stands for the device: the active one nearest to its deadline."""
    budget: float | None
    """The active model's p99 as a share of its deadline (1.0 = exactly on it)."""
    warn_temp_c: float
    max_temp_c: float
    route: RouteSample | None = None
    """The route that is furthest down the failsafe ladder, or forced; `None`: all are well."""
    orders: tuple[Standing, ...] = ()
    """What was ordered and has not arrived yet, oldest first."""

    def answering(self, model: str) -> ModelSample | None:
        """Return what answers to a model's name; `None`: nothing does, or nobody has heard."""
        for each in self.sample.models if self.sample is not None else ():
            if each.active and each.model == model:
                return each
        return None


@dataclass(slots=True)
class _Entry:
    device: FleetDevice
    link: LinkState
    link_reason: str
    retry_at: float | None
    hello: HelloReply | None
    sample: DeviceSample | None
    sampled_at: float | None
    points: deque[Point]
    events: deque[DeviceEvent]
    orders: tuple[Standing, ...] = ()
    switch: Switch | None = None
    told: DeviceEvent | None = None
    """A switch that was told of, and whose place on our clock is not known yet."""
    minute: tuple[Point, ...] = ()
    """What an earlier console heard in the minute before that, by the device's wall clock."""
    view: DeviceView | None = None
    """The latest view; forgotten when anything in it but its ages changes."""


class FleetStore:
    """The console's live picture of a fleet."""

    def __init__(self, spec: FleetSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.clock = clock
        self.wanted: tuple[str, float] | None = None
        """The device and the seconds of which a screen shows more than is kept here."""
        self._past: tuple[str, float, tuple[Point, ...]] | None = None
        self._entries = {
            device.id: _Entry(
                device=device,
                link=LinkState.CONNECTING,
                link_reason="",
                retry_at=None,
                hello=None,
                sample=None,
                sampled_at=None,
                points=deque(maxlen=HISTORY_SAMPLES),
                events=deque(maxlen=RECENT_EVENTS),
            )
            for device in spec.devices
        }

    # What links write.

    def set_link(
        self, device_id: str, link: LinkState, reason: str = "", retry_in_s: float | None = None
    ) -> None:
        """Record what the connection to a device is doing, and why."""
        entry = self._entries[device_id]
        entry.link = link
        entry.link_reason = reason
        entry.view = None
        entry.retry_at = None if retry_in_s is None else self.clock() + retry_in_s

    def add_hello(self, device_id: str, hello: HelloReply) -> None:
        """Record who answered."""
        entry = self._entries[device_id]
        entry.hello = hello
        entry.view = None

    def add_sample(self, device_id: str, sample: DeviceSample) -> None:
        """Record a sample as heard now."""
        entry = self._entries[device_id]
        now = self.clock()
        if entry.told is not None and entry.sample is None:
            # Told by an earlier console, or before the first sample: what answered is not known.
            _note_switch(entry, sample, now, live=False)
        entry.sample = sample
        entry.sampled_at = now
        entry.view = None
        entry.points.append(_point(now, sample))

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Record an event."""
        entry = self._entries[device_id]
        entry.events.append(event)
        if event.activated:
            entry.told, entry.minute = event, ()
            if entry.sample is not None and entry.sampled_at is not None:
                _note_switch(entry, entry.sample, entry.sampled_at, live=True)

    def set_orders(self, device_id: str, orders: tuple[Standing, ...]) -> None:
        """Record what waits to be sent; orders for devices of other fleets are passed over."""
        entry = self._entries.get(device_id)
        if entry is not None:
            entry.orders = tuple(each for each in orders if each.order.url == entry.device.url)
            entry.view = None

    def recall(
        self,
        device_id: str,
        points: Iterable[Point],
        events: Iterable[DeviceEvent],
        minute: Iterable[Point] = (),
    ) -> None:
        """Put back what an earlier console heard; call it before anything new is added.

        `minute` is what came before the latest switch to another bundle, by the device's wall clock:
        where that is on ours is not known before the device says something.
        """
        entry = self._entries[device_id]
        entry.points.extend(points)
        entry.events.extend(events)
        entry.told, entry.minute = switches.latest(entry.events), tuple(minute)

    def refill(
        self, device_id: str, points: Sequence[Point], events: Iterable[DeviceEvent]
    ) -> None:
        """Put what was missing in its place; what came after the last of `points` stays as it is."""
        entry = self._entries[device_id]
        if points:
            until = points[-1].at + _SAME_S
            newer = [point for point in entry.points if point.at > until]
            entry.points = deque((*points, *newer), maxlen=HISTORY_SAMPLES)
            if entry.switch is not None and not entry.switch.before_key:
                entry.switch = _learned(entry.switch, entry.points)
        known = {(event.boot_id, event.seq): event for event in (*events, *entry.events)}
        in_order = sorted(known.values(), key=lambda event: (event.time_unix_s, event.seq))
        entry.events = deque(in_order, maxlen=RECENT_EVENTS)

    def put_past(self, device_id: str, seconds: float, points: tuple[Point, ...]) -> None:
        """Put what was read of a longer time, if it is still wanted."""
        if self.wanted == (device_id, seconds):
            self._past = (device_id, seconds, points)

    def device_now(self, device_id: str) -> float | None:
        """Return what a device's own clock shows now, by its latest sample; `None` without one."""
        entry = self._entries[device_id]
        if entry.sample is None or entry.sampled_at is None:
            return None
        return entry.sample.time_unix_s + self.clock() - entry.sampled_at

    def last_event(self, device_id: str) -> tuple[str, int]:
        """Return the boot id and number of a device's latest event, `("", 0)` if there is none."""
        for event in reversed(self._entries[device_id].events):
            if not event.boot_id.startswith(OWN_BOOT):
                return event.boot_id, event.seq
        return "", 0

    # What screens read.

    def past(self, device_id: str, seconds: float) -> tuple[Point, ...] | None:
        """Return a device's points of a longer time, and want them; `None` before they were read."""
        self.wanted = (device_id, seconds)
        kept = self._past
        return kept[2] if kept is not None and kept[:2] == self.wanted else None

    def forget_past(self) -> None:
        """Want no longer time any more."""
        self.wanted = self._past = None

    def ids(self) -> tuple[str, ...]:
        """Return the device ids in the order of `fleet.toml`."""
        return tuple(self._entries)

    def device(self, device_id: str) -> DeviceView | None:
        """Return one device as it stands now, or `None` if the fleet has no such device."""
        entry = self._entries.get(device_id)
        return None if entry is None else self._view(entry, self.clock())

    def devices(self) -> tuple[DeviceView, ...]:
        """Return all devices as they stand now, in the order of `fleet.toml`."""
        now = self.clock()
        return tuple(self._view(entry, now) for entry in self._entries.values())

    def switch(self, device_id: str) -> Switch | None:
        """Return the latest time another bundle began to answer on a device, if one is known."""
        return self._entries[device_id].switch

    def points(self, device_id: str, seconds: float = HISTORY_SAMPLES) -> tuple[Point, ...]:
        """Return a device's chart points of the last `seconds`, oldest first."""
        since = self.clock() - seconds
        return tuple(_after(self._entries[device_id].points, since))

    def events(self, device_id: str | None = None) -> tuple[DeviceEvent, ...]:
        """Return recent events of one device or of all, oldest first."""
        if device_id is not None:
            return tuple(self._entries[device_id].events)
        merged = [event for entry in self._entries.values() for event in entry.events]
        return tuple(sorted(merged, key=lambda event: event.time_unix_s))

    def _view(self, entry: _Entry, now: float) -> DeviceView:
        age_s = None if entry.sampled_at is None else now - entry.sampled_at
        retry_in_s = None if entry.retry_at is None else max(0.0, entry.retry_at - now)
        freshness = freshness_of(age_s, self.spec)
        if entry.view is None or entry.view.freshness is not freshness:
            entry.view = self._new_view(entry, freshness)
        return msgspec.structs.replace(entry.view, age_s=age_s, retry_in_s=retry_in_s)

    def _new_view(self, entry: _Entry, freshness: Freshness) -> DeviceView:
        """Judge a device; its ages are filled in for every look at it."""
        limits = entry.hello.device.thermal_constraints if entry.hello else None
        active = representative(entry.sample)
        warn_c, most_c = _limits_c(limits, entry.sample, self.spec)
        view = DeviceView(
            id=entry.device.id,
            site=entry.device.site,
            url=entry.device.url,
            link=entry.link,
            link_reason=entry.link_reason,
            retry_in_s=None,
            hello=entry.hello,
            sample=entry.sample,
            age_s=None,
            freshness=freshness,
            level=Level.UNKNOWN,
            level_reason="",
            active=active,
            budget=budget(active),
            warn_temp_c=warn_c,
            max_temp_c=most_c,
            route=worst_route(entry.sample),
            orders=entry.orders,
        )
        level, reason = level_of(view)
        return msgspec.structs.replace(view, level=level, level_reason=reason)


def _point(at: float, sample: DeviceSample) -> Point:
    model = representative(sample)
    return Point(
        at=at,
        p50_ms=model.p50_ms if model else None,
        p95_ms=model.p95_ms if model else None,
        p99_ms=model.p99_ms if model else None,
        temp_c=sample.temp_c.value,
        power_w=sample.power_w.value,
        cpu_percent=sample.cpu_percent,
        memory_percent=sample.memory_percent,
        rate_per_s=sum(each.rate_per_s for each in sample.models),
        key=model.key if model else "",
        rss_bytes=model.rss_bytes if model else None,
    )


def _note_switch(entry: _Entry, sample: DeviceSample, sampled_at: float, *, live: bool) -> None:
    """Note the switch that was told of, with the figures of before, which will be forgotten.

    A `sample` leads from the device's wall clock to ours; one from before the switch, `live`, also
    says what answered then. Else it is in what was written down: in the minute that an earlier
    console heard, or in what charts show. What neither reaches back to is left out.
    """
    event, minute = entry.told, entry.minute
    entry.told, entry.minute = None, ()
    if event is None:
        return
    at = sampled_at + event.time_unix_s - sample.time_unix_s
    if sampled_at - at > (switches.SHOWN_S if minute else HISTORY_SAMPLES):
        return
    after = event.activated
    model = after.partition("/")[0]
    points, moment = (minute, event.time_unix_s) if minute else (tuple(entry.points), at)
    if live:
        active = [each for each in sample.models if each.active and each.model == model]
        before = active[0].key if active else ""
    else:
        before = switches.seen_before(points, moment, model)
    if before != after:
        found = switches.before(points, moment, before)
        entry.switch = Switch(at, model, before, after, found)


def _learned(switch: Switch, points: Iterable[Point]) -> Switch:
    """Return a switch with what came before it, now that more of the past is known."""
    known = tuple(points)
    key = switches.seen_before(known, switch.at, switch.model)
    if key in ("", switch.after_key):
        return switch
    return replace(switch, before_key=key, before=switches.before(known, switch.at, key))


def _after(points: deque[Point], since: float) -> Iterator[Point]:
    """Walk back from the newest: charts ask for much less than is kept."""
    recent = list(takewhile(lambda point: point.at >= since, reversed(points)))
    return reversed(recent)


def _limits_c(
    limits: ThermalConstraints | None, sample: DeviceSample | None, spec: FleetSpec
) -> tuple[float, float]:
    """Return from where a temperature is a warning and critical: by the device's own word, if any."""
    heat = None if sample is None else sample.thermal
    warn_c = limits.warn_temp_c if limits else None
    if heat is not None and heat.limit_c is not None:
        return warn_c or heat.limit_c - WARM_BELOW_C, heat.limit_c
    return warn_c or spec.warn_temp_c, (limits.max_temp_c if limits else None) or spec.max_temp_c
