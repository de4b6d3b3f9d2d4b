"""The failsafe ladder as the console judges it: which devices are ◆, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.orders import Intent, OrderKind, Outcome, Standing
from edgeconsole.fleet.routes import answering, route_text, worst_route
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.failsafe import (
    BreakerPhase,
    Override,
    OverrideKind,
    RouteSample,
    RungSample,
)
from edgeconsole.protocol.inference import Rung
from edgeconsole.specs import AgentState, FleetDevice, FleetSpec

Make = Callable[..., Any]

PRIMARY = RouteSample("digits", Rung.PRIMARY, 60.0)
SHED = replace(PRIMARY, rung=Rung.SHED, shed=3)
PEER = replace(PRIMARY, rung=Rung.PEER)
FALLBACK = RouteSample(
    "digits",
    Rung.FALLBACK,
    12.0,
    "breaker_open",
    breaker=BreakerPhase.OPEN,
    rungs=(RungSample(Rung.FALLBACK, True, "", "tiny", "1", "int8"),),
)
STATIC = RouteSample("cats", Rung.STATIC, 3.0, "worker_lost", "its worker ended twice")
STOP = RouteSample("dogs", Rung.STOP, 1.0, "nothing_left")


def forced(kind: OverrideKind, rung: Rung) -> RouteSample:
    """Return a route that an operator holds."""
    by = Override(kind, "", "kim@desk", "smoke", "c" * 32, 1.8e9, 1.8e9 + 60)
    return RouteSample("digits", rung, 5.0, "operator", override=by)


@pytest.mark.parametrize(
    ("routes", "changes", "level", "reason"),
    [
        ((PRIMARY, PEER), {}, Level.OK, ""),
        ((SHED,), {}, Level.WARNING, "digits refuses priorities below 3"),
        (
            (PRIMARY, FALLBACK),
            {},
            Level.FAILSAFE,
            "digits: fallback tiny/int8 for 12s, breaker open",
        ),
        (
            (FALLBACK, STATIC),
            {"state": AgentState.ERROR},
            Level.FAILSAFE,
            "cats: static for 3s, its worker ended twice",
        ),
        ((STATIC, STOP), {}, Level.CRITICAL, "dogs: stop for 1s, nothing left"),
        (
            (forced(OverrideKind.FAILSAFE, Rung.STATIC),),
            {},
            Level.FAILSAFE,
            "digits: static for 5s, failsafe forced by kim@desk: smoke",
        ),
        (
            (forced(OverrideKind.FAILSAFE, Rung.STOP),),
            {},
            Level.FAILSAFE,
            "digits: stop for 5s, failsafe forced by kim@desk: smoke",
        ),
        (
            (forced(OverrideKind.MAINTENANCE, Rung.STOP),),
            {"state": AgentState.MAINTENANCE},
            Level.WARNING,
            "digits: stop for 5s, maintenance forced by kim@desk: smoke",
        ),
        (
            (replace(FALLBACK, latched=True, alarm="7 changes in an hour"),),
            {},
            Level.FAILSAFE,
            "digits: fallback tiny/int8 for 12s, breaker open, ALARM: 7 changes in an hour",
        ),
        ((), {"state": AgentState.ERROR, "reason": "lost"}, Level.CRITICAL, "lost"),
    ],
)
def test_levels_of_routes(
    make_sample: Make,
    routes: tuple[RouteSample, ...],
    changes: dict[str, Any],
    level: Level,
    reason: str,
) -> None:
    """◆ for what is degraded or forced, worse for what refuses by itself, and the phrase says why."""
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)))
    store.add_sample("a", make_sample(routes=routes, **changes))
    view = store.device("a")
    assert view is not None
    assert (view.level, view.level_reason) == (level, reason)


def test_a_late_primary_does_not_hide_the_failsafe(make_sample: Make, make_model: Make) -> None:
    """A p99 over the deadline is why the ladder acted: the device is ◆ and not only critical."""
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)))
    store.add_sample("a", make_sample(routes=(FALLBACK,), models=(make_model(p99_ms=400.0),)))
    view = store.device("a")
    assert view is not None
    assert view.level is Level.FAILSAFE


def test_the_route_that_shows_is_the_worst() -> None:
    """What refuses by itself comes first, then the lowest rung."""
    static = forced(OverrideKind.FAILSAFE, Rung.STOP)
    assert worst_route(None) is None
    assert answering(PRIMARY) == "primary"
    for routes, worst in (
        ((PRIMARY, FALLBACK, STATIC), STATIC),
        ((static, STOP), STOP),
        ((PRIMARY, PEER, SHED), None),
    ):
        assert worst_route(_sample(routes)) is worst


def _sample(routes: tuple[RouteSample, ...]) -> Any:
    class Sample:
        """Stands for a sample: only its routes are looked at."""

    Sample.routes = routes
    return Sample


def test_a_route_says_what_its_breaker_does() -> None:
    """A breaker that is not closed is named, once."""
    other = replace(FALLBACK, cause="memory", breaker=BreakerPhase.HALF_OPEN)
    assert route_text(other) == "digits: fallback tiny/int8 for 12s, memory, breaker half open"


def test_orders_of_another_fleet_are_not_shown() -> None:
    """The history may be shared: an order for the same name at another address is none of ours."""
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)))
    intent = Intent("c" * 32, OrderKind.RELEASE, "kim")
    ours, theirs = (
        Standing(intent.order("a", url, 1.8e9), Outcome.QUEUED) for url in ("ws://x", "ws://y")
    )
    store.set_orders("a", (ours, theirs))
    store.set_orders("stranger", (ours,))
    view = store.device("a")
    assert view is not None
    assert view.orders == (ours,)
    store.set_orders("a", ())
    assert store.device("a").orders == ()
