"""Canned fleets for tests and pictures: deterministic, with a clock that stands still."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from canned_jobs import CannedJobs
from canned_models import CannedModels

from edgeconsole.errors import StoreError
from edgeconsole.fleet.explanation import Explanation
from edgeconsole.fleet.order_book import AuditRow
from edgeconsole.fleet.orders import Intent, OrderKind, Outcome, Standing
from edgeconsole.fleet.store import FleetStore, LinkState
from edgeconsole.protocol.control import HelloReply
from edgeconsole.protocol.failsafe import (
    BreakerPhase,
    Condition,
    Override,
    OverrideKind,
    RouteConditions,
    RouteSample,
    RungSample,
    Transition,
)
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import (
    MODEL_ACTIVATED,
    DeviceEvent,
    DeviceSample,
    ModelSample,
    ModelState,
    Quality,
    Reading,
    Severity,
    activated_text,
)
from edgeconsole.specs import (
    AgentState,
    ComputeUnits,
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    FleetDevice,
    FleetSpec,
    LatencyRequirement,
    ThermalConstraints,
)

WALL: Final = datetime(2026, 7, 1, 14, 33, 10, tzinfo=UTC)
"""The time of day in every picture."""
NO_SENSOR: Final = Reading(reason="no power sensor: no INA3221, no battery, no RAPL")


class Clock:
    """A monotonic clock that moves when told."""

    def __init__(self, now: float = 10_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class CannedDesk:
    """Takes orders, and answers as told."""

    given: list[tuple[Intent, tuple[str, ...]]] = field(default_factory=list)
    outcome: Outcome = Outcome.ACKNOWLEDGED
    detail: str = ""
    broken: str = ""
    rows: list[AuditRow] = field(default_factory=list)
    said: Explanation | None = None

    async def order(self, intent: Intent, device_ids: Sequence[str]) -> None:
        """Note it."""
        if self.broken:
            raise StoreError(self.broken)
        self.given.append((intent, tuple(device_ids)))

    async def standings(self, command_id: str) -> list[Standing]:
        """Say of each order what the test wants."""
        return [
            Standing(intent.order(name, "ws://x", WALL.timestamp()), self.outcome, self.detail)
            for intent, devices in self.given
            for name in devices
            if intent.command_id == command_id
        ]

    async def audit(self, limit: int = 200) -> list[AuditRow]:
        """Return rows."""
        if self.broken:
            raise StoreError(self.broken)
        return self.rows[:limit]

    async def explain(self, device_id: str) -> Explanation:
        """Explain."""
        if self.broken:
            raise StoreError(self.broken)
        return self.said or Explanation(device_id, live=False, note="nobody asked")


@dataclass
class CannedService:
    """A service whose store is filled already."""

    store: FleetStore
    started: int = 0
    stopped: int = 0
    desk: CannedDesk = field(default_factory=CannedDesk)
    jobs: CannedJobs = field(default_factory=CannedJobs)
    models: CannedModels = field(default_factory=CannedModels)
    problem: str = ""

    async def start(self) -> None:
        """Count."""
        self.started += 1

    async def stop(self) -> None:
        """Count."""
        self.stopped += 1


@dataclass
class Kind:
    """What a canned device is like."""

    id: str
    site: str = "lyon"
    base_ms: float = 8.0
    deadline_ms: float = 50.0
    temp_c: float = 55.0
    power: Reading = field(default_factory=lambda: NO_SENSOR)
    drift: float = 0.0
    """How much slower it is at the end than at the start."""
    variant: str = "int8"
    device_class: str = "raspberry-pi-5"
    temp_quality: Quality = Quality.MEASURED
    spare: ModelState | None = ModelState.READY
    """The state of its second model; `None`: it has none."""
    state: AgentState = AgentState.PROCESSING
    reason: str = ""
    route: RouteSample | None = None
    """Its ladder; by default on the primary."""


def ladder(at: Rung = Rung.PRIMARY, **changes: object) -> RouteSample:
    """Return a route with all its rungs."""
    rungs = (
        RungSample(Rung.PRIMARY, True, "", "yolo-n", "1.2.0", "int8", 187 * 2**20, 41.0, 8.1),
        RungSample(Rung.PEER, False, "no peers yet"),
        RungSample(Rung.FALLBACK, True, "", "tiny", "0.9.1", "int8", 61 * 2**20, 12.0, 2.2),
        RungSample(Rung.LAST_GOOD, False, "max_age_ms is not set"),
        RungSample(Rung.STATIC, True),
    )
    route = RouteSample(
        model="yolo-n", rung=at, held_s=180.0, rungs=rungs, answers={"primary": 30_600}
    )
    return msgspec.structs.replace(route, **changes)


def reading(value: float | None, unit: str, quality: Quality = Quality.MEASURED) -> Reading:
    """Return a reading."""
    source = "thermal_zone0/cpu-thermal" if unit == "°C" else "ina3221/VDD_IN"
    return Reading(value=value, unit=unit, source=source, quality=quality)


def model(kind: Kind, share: float, noise: float, seq: int) -> ModelSample:
    """Return the active model `share` of the way through its story."""
    p50 = kind.base_ms * (1 + kind.drift * share**3) * (1 + 0.05 * noise)
    return ModelSample(
        model="yolo-n",
        version="1.2.0",
        variant=kind.variant,
        digest="sha256:" + "a" * 64,
        state=ModelState.READY,
        active=True,
        deadline_ms=kind.deadline_ms,
        worker_pids=(4711,),
        restarts=1 if kind.drift > 1 else 0,
        queue_depth=3 if kind.drift > 1 else 0,
        in_flight=1,
        p50_ms=p50,
        p95_ms=p50 * (1.32 + 0.1 * abs(noise)),
        p99_ms=p50 * (1.6 + 0.35 * abs(noise)),
        infer_p50_ms=p50 * 0.8,
        rate_per_s=round(1000 / kind.base_ms / 1.4, 1),
        requests_total=52 * seq,
        answered_total=51 * seq,
        refused_total=seq // 40,
        failed_total=2 if kind.drift > 1 else 0,
        late_total=seq // 60,
        rss_bytes=187 * 2**20,
    )


def spare_model(kind: Kind, state: ModelState) -> ModelSample:
    """Return a second model that is not active."""
    return ModelSample(
        model="tiny",
        version="0.9.1",
        variant="int8",
        digest="sha256:" + "b" * 64,
        state=state,
        active=False,
        deadline_ms=kind.deadline_ms,
        worker_pids=() if state is ModelState.FAILED else (4712,),
        restarts=3 if state is ModelState.FAILED else 0,
        rss_bytes=None if state is ModelState.FAILED else 61 * 2**20,
        reason="worker exited with signal 11 while loading" if state is ModelState.FAILED else "",
    )


def sample(kind: Kind, share: float, seq: int, rng: random.Random) -> DeviceSample:
    """Return a device `share` of the way through its story."""
    noise = 0.6 * math.sin(seq / 11.0) + 0.3 * math.sin(seq / 4.3 + 1) + 0.15 * rng.gauss(0, 1)
    models = [model(kind, share, noise, seq)]
    if kind.spare is not None:
        models.append(spare_model(kind, kind.spare))
    wave = math.sin(seq / 37.0)
    power = kind.power
    if power.value is not None:
        power = msgspec.structs.replace(power, value=power.value * (1 + 0.06 * wave))
    return DeviceSample(
        device_id=kind.id,
        boot_id="boot-1",
        seq=seq,
        time_unix_s=WALL.timestamp() - 600 + seq,
        state=kind.state,
        uptime_s=273_600.0 + seq,
        temp_c=Reading(
            value=kind.temp_c * (0.86 + 0.14 * share) + wave + 0.2 * noise,
            unit="celsius",
            source="thermal_zone0/cpu-thermal",
            quality=kind.temp_quality,
        ),
        power_w=power,
        cpu_percent=min(100.0, 38 + 9 * wave + 3 * abs(noise) + 20 * kind.drift * share),
        memory_percent=52 + 3 * share,
        memory_used_bytes=4 * 2**30,
        agent_rss_bytes=61 * 2**20,
        connections=3,
        models=tuple(models),
        reason=kind.reason,
        routes=(kind.route or ladder(),),
    )


def hello(kind: Kind) -> HelloReply:
    """Return what the device says of itself."""
    return HelloReply(
        id="1",
        version=1,
        agent_id=kind.id,
        agent_version="0.1.0",
        boot_id="boot-1",
        tier=EdgeDeploymentTier.DEVICE_EDGE,
        latency_requirement=LatencyRequirement.INTERACTIVE,
        device=EdgeDeviceSpec(
            device_id=kind.id,
            device_class=kind.device_class,
            compute_units=ComputeUnits(cpu_cores=4),
            memory_mb=8192,
            power_budget_w=15.0 if kind.power.value is not None else None,
            thermal_constraints=ThermalConstraints(warn_temp_c=80.0, max_temp_c=90.0),
        ),
        platform="linux aarch64",
    )


def event(
    device_id: str, seq: int, ago_s: float, severity: Severity, *, kind: str, message: str
) -> DeviceEvent:
    """Return an event `ago_s` before the time of the picture."""
    return DeviceEvent(
        device_id=device_id,
        boot_id="boot-1",
        seq=seq,
        time_unix_s=WALL.timestamp() - ago_s,
        severity=severity,
        kind=kind,
        message=message,
    )


LAB: Final = (
    Kind(
        "dock-0188",
        base_ms=12,
        drift=2.1,
        temp_c=84,
        variant="fp32",
        power=reading(13.1, "W", Quality.ESTIMATED),
        device_class="jetson-orin-nano-15w",
        spare=ModelState.FAILED,
    ),
    Kind("cart-0001", base_ms=6.4, power=reading(5.1, "W")),
    Kind("cart-0002", base_ms=5.9, power=reading(4.9, "W")),
    Kind("line-0056", site="nantes", base_ms=20.2, power=reading(5.8, "W", Quality.ESTIMATED)),
    Kind("line-0064", site="nantes", base_ms=9.0, temp_c=82),
    Kind("gate-0020", site="nantes", base_ms=18.0),
    Kind("gate-0021", site="nantes", base_ms=16.5, temp_quality=Quality.SIMULATED),
    Kind("cam-03", site="porto", base_ms=0.42, deadline_ms=10, variant="int8", spare=None),
    Kind("cam-04", site="porto", base_ms=0.38, deadline_ms=10, variant="int8", spare=None),
    Kind("cam-05", site="porto", base_ms=0.45, deadline_ms=10, variant="int8", spare=None),
)
"""Ten devices; the first one is going wrong."""


def spec(kinds: tuple[Kind, ...], name: str = "prod-eu") -> FleetSpec:
    """Return the fleet of some devices."""
    return FleetSpec(
        name=name,
        devices=tuple(
            FleetDevice(id=kind.id, url=f"ws://127.0.0.1:{7311 + place % 1000}", site=kind.site)
            for place, kind in enumerate(kinds)
        ),
    )


def fill(
    store: FleetStore, clock: Clock, kind: Kind, seconds: int, *, seed: int = 7, sent: int = 0
) -> None:
    """Let a device, after what it has `sent`, send a sample a second up to now; the clock ends there."""
    end = clock.now
    rng = random.Random(f"{seed}-{kind.id}")
    store.set_link(kind.id, LinkState.LIVE)
    store.add_hello(kind.id, hello(kind))
    for second in range(seconds):
        clock.now = end - seconds + second + 1
        store.add_sample(kind.id, sample(kind, (second + 1) / seconds, sent + second + 1, rng))
    clock.now = end


def lab(seconds: int = 600, kinds: tuple[Kind, ...] = LAB) -> tuple[FleetStore, Clock]:
    """Return the ten devices of the lab: one critical, one stale, one never heard, the rest fine."""
    clock = Clock()
    store = FleetStore(spec(kinds, "lab"), clock)
    for kind in kinds:
        if kind.id == "cam-05":
            store.set_link(kind.id, LinkState.WAITING, "connection refused", retry_in_s=8.0)
            continue
        if kind.id == "gate-0020":
            clock.now -= 9.0
            fill(store, clock, kind, max(2, seconds - 9))
            clock.now += 9.0
            store.set_link(kind.id, LinkState.WAITING, "no answer to ping", retry_in_s=4.0)
            continue
        fill(store, clock, kind, seconds)
    for device_event in lab_events():
        if device_event.device_id in store.ids():
            store.add_event(device_event.device_id, device_event)
    return store, clock


def lab_events() -> list[DeviceEvent]:
    """Return what happened in the lab."""
    story: list[tuple[str, float, Severity, str, str]] = [
        ("dock-0188", 590, Severity.INFO, "agent_started", "agent 0.1.0 started, boot boot-1"),
        ("dock-0188", 570, Severity.INFO, "model_activated", "yolo-n 1.2.0 fp32 is active"),
        (
            "dock-0188",
            320,
            Severity.WARNING,
            "worker_lost",
            "worker 4690 of yolo-n ended: signal 9",
        ),
        (
            "dock-0188",
            318,
            Severity.INFO,
            "worker_started",
            "worker 4711 of yolo-n is ready (1.9 s)",
        ),
        (
            "dock-0188",
            97,
            Severity.CRITICAL,
            "model_failed",
            "tiny: signal 11 while loading, 3 times",
        ),
        ("dock-0188", 41, Severity.WARNING, "late", "12 results came after their deadline"),
        ("line-0064", 210, Severity.WARNING, "temperature", "80.4 °C, warning from 80 °C"),
        ("gate-0020", 12, Severity.WARNING, "link_lost", "no answer to ping for 3 s"),
    ]
    return [
        event(device, seq, ago, severity, kind=kind, message=message)
        for seq, (device, ago, severity, kind, message) in enumerate(story, 1)
    ]


def stale() -> tuple[FleetStore, Clock]:
    """Return the lab after nobody was heard for 14 s."""
    store, clock = lab()
    clock.now += 14.0
    for device_id in store.ids():
        store.set_link(device_id, LinkState.WAITING, "no answer to ping", retry_in_s=6.0)
    return store, clock


def single(kind: Kind = LAB[0], seconds: int = 600) -> tuple[FleetStore, Clock]:
    """Return a fleet of one."""
    return lab(seconds, (kind,))


def switched() -> tuple[FleetStore, Clock]:
    """Return two devices; on one a faster variant answers for two minutes now."""
    before = Kind("dock-0188", base_ms=12.0, temp_c=82.0, variant="fp32")
    after = Kind("dock-0188", base_ms=4.6, temp_c=74.0, variant="int8-static")
    other = Kind("cart-0001", base_ms=3.0)
    clock = Clock()
    store = FleetStore(spec((before, other), "lab"), clock)
    fill(store, clock, other, 600)
    clock.now -= 120.0
    fill(store, clock, before, 480)
    told = activated_text("yolo-n/1.2.0/int8-static", "yolo-n")
    store.add_event(
        "dock-0188",
        event("dock-0188", 1, 120.0, Severity.INFO, kind=MODEL_ACTIVATED, message=told),
    )
    clock.now += 120.0
    fill(store, clock, after, 120, sent=480)
    return store, clock


def empty() -> tuple[FleetStore, Clock]:
    """Return a fleet without devices."""
    clock = Clock()
    return FleetStore(FleetSpec(name="new"), clock), clock


HOT: Final = Condition(
    "breaker_error_share", True, 0.62, 0.5, "", held_s=3.2, needed_s=2.0, detail="31 of 50 calls"
)
COOL: Final = Condition("temperature", False, 71.0, 80.0, "°C", held_s=0.0, needed_s=10.0)
FALLEN: Final = Transition(
    "yolo-n",
    Rung.PRIMARY,
    Rung.FALLBACK,
    "breaker_open",
    WALL.timestamp() - 180,
    (HOT, COOL),
)
RISEN: Final = Transition(
    "yolo-n", Rung.FALLBACK, Rung.PRIMARY, "recovered", WALL.timestamp() - 400, (COOL,)
)
FORCED: Final = Override(
    OverrideKind.FAILSAFE,
    "",
    "kim@desk",
    "smoke in hall 2",
    "f" * 32,
    WALL.timestamp() - 60,
    WALL.timestamp() + 1740,
)
FALLS: Final = (
    Kind(
        "dock-0188",
        base_ms=12,
        route=ladder(
            Rung.FALLBACK,
            cause="breaker_open",
            breaker=BreakerPhase.OPEN,
            answers={"primary": 30_600, "fallback": 1_204},
            hedged_total=33,
            late_dropped_total=31,
            transitions_last_hour=3,
        ),
    ),
    Kind(
        "line-0056",
        site="nantes",
        route=ladder(Rung.STATIC, cause="operator", override=FORCED, held_s=60.0),
    ),
    Kind("cart-0001"),
    Kind("cart-0002"),
    Kind("gate-0020", site="nantes"),
)


def fallen(seconds: int = 600) -> tuple[FleetStore, Clock]:
    """Return five devices: one on its fallback, one forced, two fine, one away with an order queued."""
    store, clock = lab(seconds, FALLS)
    for seq, transition in ((20, RISEN), (21, FALLEN)):
        ago_s = WALL.timestamp() - transition.time_unix_s
        said = f"yolo-n: {transition.before.value} → {transition.after.value}"
        moved = event("dock-0188", seq, ago_s, Severity.WARNING, kind="rung_changed", message=said)
        store.add_event("dock-0188", msgspec.structs.replace(moved, transition=transition))
    intent = Intent("c" * 32, OrderKind.FAILSAFE_ON, "kim@desk", reason="smoke in hall 2")
    url = next(each.url for each in store.spec.devices if each.id == "gate-0020")
    order = intent.order("gate-0020", url, WALL.timestamp() - 60)
    store.set_orders("gate-0020", (Standing(order, Outcome.QUEUED),))
    return store, clock


def explained() -> Explanation:
    """Return why the first of them fell."""
    assert FALLS[0].route is not None
    return Explanation(
        "dock-0188",
        live=True,
        routes=(FALLS[0].route,),
        conditions=(RouteConditions("yolo-n", Rung.FALLBACK, (HOT, COOL)),),
        transitions=(FALLEN, RISEN),
    )


def audited() -> list[AuditRow]:
    """Return an audit with every outcome, newest first."""
    story = (
        ("gate-0020", Outcome.QUEUED, ""),
        ("cart-0002", Outcome.REFUSED, "no static answer is declared for yolo-n"),
        ("line-0056", Outcome.ACKNOWLEDGED, "failsafe until 15:02:10"),
        ("line-0056", Outcome.SENT, ""),
        ("gate-0021", Outcome.EXPIRED, "the device was not reached in time"),
    )
    return [
        AuditRow(
            place=9 - place,
            time_unix_s=WALL.timestamp() - 60 * place,
            actor="kim@desk",
            device_id=device,
            line=f"failsafe on {device} --for 30m --reason 'smoke in hall 2'",
            reason="smoke in hall 2",
            hold_s=1800.0,
            command_id="c" * 32,
            outcome=outcome,
            detail=detail,
        )
        for place, (device, outcome, detail) in enumerate(story)
    ]


def many(count: int = 1_000, seconds: int = 3) -> tuple[FleetStore, Clock]:
    """Return a large fleet with a few faults."""
    rng = random.Random(11)
    names = ("dock", "cart", "line", "gate")
    kinds = tuple(
        Kind(
            f"{names[place % 4]}-{place:04d}",
            site=("lyon", "nantes", "porto")[place % 3],
            base_ms=rng.uniform(5, 21) if place % 50 else rng.uniform(28, 36),
            temp_c=rng.uniform(42, 78) if place % 37 else rng.uniform(81, 94),
            power=reading(rng.uniform(4, 14), "W") if place % 3 else NO_SENSOR,
            spare=None,
        )
        for place in range(count)
    )
    clock = Clock()
    store = FleetStore(spec(kinds), clock)
    for place, kind in enumerate(kinds):
        late = 8.0 if place % 61 == 5 else 40.0 if place % 97 == 9 else 0.0
        clock.now -= late
        fill(store, clock, kind, seconds)
        clock.now += late
    return store, clock


HOSTILE: Final = (
    "[/nope]",
    "[red]red[/red]",
    "\x1b[31mred\x1b[0m\x07\r\n\t",
    "\x9b31m\u202eevil\u2066",
    "寿司端末装置" * 8,
    "👩\u200d👩\u200d👧\ufe0f🔥" * 6,
    "x" * 3_000,
    "$surface {0} %s {nope}",
)
"""Texts a device might send."""


def hostile() -> tuple[FleetStore, Clock]:
    """Return a fleet in which every text is one of the hostile ones, the device ids included."""
    clock = Clock()
    kinds = tuple(Kind(f"device-{place}") for place in range(len(HOSTILE)))
    fleet = spec(kinds, "[bold]fleet\x1b[0m")
    for device, text in zip(fleet.devices, HOSTILE, strict=True):
        # The constructor refuses such names; nothing on the screens may depend on that.
        msgspec.structs.force_setattr(device, "id", text)
        msgspec.structs.force_setattr(device, "site", text)
    store = FleetStore(fleet, clock)
    for text in HOSTILE:
        kind = Kind(text, site=text, variant=text, device_class="pi", spare=ModelState.FAILED)
        rng = random.Random(3)
        store.set_link(text, LinkState.WAITING, text, retry_in_s=3.0)
        reply = msgspec.structs.replace(_plain_hello(), agent_version=text, platform=text)
        store.add_hello(text, reply)
        heard = sample(kind, 1.0, 5, rng)
        models = tuple(
            msgspec.structs.replace(each, model=text, version=text, reason=text)
            for each in heard.models
        )
        unknown = Reading(reason=text)
        heard = msgspec.structs.replace(
            heard,
            state=AgentState.ERROR,
            reason=text,
            models=models,
            temp_c=unknown,
            power_w=unknown,
            routes=(hostile_route(text),),
        )
        store.add_sample(text, heard)
        happened = event(text, 1, 5, Severity.CRITICAL, kind=text, message=text)
        moved = hostile_explanation(text).transitions[0]
        store.add_event(text, msgspec.structs.replace(happened, transition=moved))
        intent = Intent(text, OrderKind.FAILSAFE_ON, text, text, text)
        url = next(each.url for each in fleet.devices if each.id == text)
        order = intent.order(text, url, WALL.timestamp())
        store.set_orders(text, (Standing(order, Outcome.QUEUED, text),))
    return store, clock


def hostile_route(text: str) -> RouteSample:
    """Return a route of which every text is this one."""
    override = Override(OverrideKind.FAILSAFE, text, text, text, text, 1.0, 1e11)
    rungs = (
        RungSample(Rung.FALLBACK, True, text, text, text, text),
        RungSample(Rung.STATIC, False, text),
    )
    return RouteSample(
        text, Rung.FALLBACK, 1e11, text, text, override, True, text, rungs=rungs, answers={text: 9}
    )


def hostile_explanation(text: str) -> Explanation:
    """Return an explanation of which every text is this one."""
    condition = Condition(text, True, 1e300, float("-inf"), text, 1e11, 1e11, text)
    moved = Transition(text, Rung.PRIMARY, Rung.STOP, text, 1e11, (condition,), text, text)
    return Explanation(
        text,
        live=False,
        note=text,
        routes=(hostile_route(text),),
        conditions=(RouteConditions(text, Rung.STOP, (condition,)),),
        transitions=(moved,),
    )


def hostile_rows() -> list[AuditRow]:
    """Return an audit of hostile texts."""
    return [
        AuditRow(place, 1e11, text, text, text, text, 1e9, text, Outcome.REFUSED, text)
        for place, text in enumerate(HOSTILE)
    ]


def _plain_hello() -> HelloReply:
    return hello(Kind("plain"))


def wall_of(clock: Clock) -> Callable[[], datetime]:
    """Return a time of day that moves with a clock."""
    start = clock.now
    return lambda: WALL + timedelta(seconds=clock.now - start)
