"""How far an order reaches, and how hard it is to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.blast import MANY, Effort, blast
from edgeconsole.fleet.orders import OrderKind
from edgeconsole.fleet.store import DeviceView, FleetStore, LinkState
from edgeconsole.protocol.failsafe import Override, OverrideKind, RouteSample, RungSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.thermal import ThermalOverride, ThermalSample, ThermalState
from edgeconsole.specs import FleetDevice, FleetSpec

Make = Callable[..., Any]


def fleet(**sites: int) -> tuple[DeviceView, ...]:
    """Return a fleet with so many devices at each site, none heard of."""
    devices = tuple(
        FleetDevice(f"{site}-{place}", f"ws://{site}{place}", site="" if site == "none" else site)
        for site, count in sites.items()
        for place in range(count)
    )
    return FleetStore(FleetSpec(devices=devices)).devices()


@pytest.mark.parametrize(
    ("sites", "targets", "effort", "because"),
    [
        ({"a": 1}, 1, Effort.KEY, ""),
        ({"a": 100}, 1, Effort.KEY, ""),
        ({"a": 1, "b": 1}, 2, Effort.REASON, "more than one device"),
        ({"a": 7}, 6, Effort.REASON, "more than one device"),
        ({"a": 8}, 2, Effort.REASON, "more than one device"),
        ({"a": 8}, 3, Effort.NUMBER, "3 of 8 devices"),
        ({"a": 40}, MANY - 1, Effort.REASON, "more than one device"),
        ({"a": 40}, MANY, Effort.NUMBER, "10 devices at once"),
        ({"a": 2, "b": 90}, 2, Effort.NUMBER, "every device of a"),
        ({"none": 7}, 7, Effort.REASON, "more than one device"),
    ],
)
def test_the_effort_grows_with_the_reach(
    sites: dict[str, int], targets: int, effort: Effort, because: str
) -> None:
    """One: a key. Several: a reason. Ten, a whole site or over a quarter of a fleet: their number."""
    views = fleet(**sites)
    found = blast(OrderKind.FAILSAFE_ON, "", views[:targets], views)
    assert (found.effort, found.because) == (effort, because)
    assert found.devices == tuple(view.id for view in views[:targets])


def test_sites_are_counted_the_most_first() -> None:
    """The dialog says where it reaches."""
    views = fleet(a=3, b=9)
    assert blast(OrderKind.RELEASE, "", views[2:6], views).sites == (("b", 3), ("a", 1))


def route(model: str, **changes: Any) -> RouteSample:
    """Return a route without a fallback and with a static answer."""
    rungs = (RungSample(Rung.FALLBACK, False, "no memory"), RungSample(Rung.STATIC, True))
    return replace(RouteSample(model, Rung.PRIMARY, 1.0, rungs=rungs), **changes)


def heard(make_sample: Make, *routes: RouteSample) -> DeviceView:
    """Return a device that is connected and said this of its routes."""
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)))
    store.set_link("a", LinkState.LIVE)
    store.add_sample("a", make_sample(routes=routes))
    return store.devices()[0]


def test_what_is_lacking_is_named(make_sample: Make) -> None:
    """Only the rung that is to be forced counts, and only of the model that is meant."""
    view = heard(make_sample, route("digits"), route("cats"))
    cases: list[tuple[OrderKind, str, tuple[str, ...]]] = [
        (OrderKind.FALLBACK_ON, "", ("digits: no memory", "cats: no memory")),
        (OrderKind.FALLBACK_ON, "cats", ("cats: no memory",)),
        (OrderKind.FAILSAFE_ON, "", ()),
        (OrderKind.MAINTENANCE_ON, "", ()),
        (OrderKind.RELEASE, "", ()),
    ]
    for kind, model, lacking in cases:
        found = blast(kind, model, [view], [view])
        assert found.lacking == tuple(("a", each) for each in lacking)
        assert (found.offline, found.unheard) == ((), ())


def test_offline_unheard_and_held_devices(make_sample: Make) -> None:
    """Who has to wait, of whom nothing is known, and on whom somebody has a hand already."""
    (never,) = fleet(a=1)
    found = blast(OrderKind.FALLBACK_ON, "", [never], [never])
    assert (found.offline, found.unheard, found.lacking) == (("a-0",), ("a-0",), ())
    by = Override(OverrideKind.FAILSAFE, "", "kim@desk", "smoke", "c" * 32, 1.0, 2.0)
    view = heard(make_sample, route("digits", override=by), route("cats", override=by))
    found = blast(OrderKind.RELEASE, "", [view], [view])
    assert found.held == (("a", "failsafe by kim@desk"),)
    assert blast(OrderKind.RELEASE, "dogs", [view], [view]).held == ()


def test_an_actor_is_somebody_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`user@host`, with the number of a user who has no name, and never too long for the wire."""
    assert 3 <= len(actor()) <= 200
    assert "@" in actor()

    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert actor().startswith("uid ")
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 500)
    assert len(actor()) == 200


def test_what_a_thermal_order_meets(make_sample: Make) -> None:
    """Who has no thermal policy, and whose state somebody has forced already; rungs do not matter."""
    by = Override(OverrideKind.FAILSAFE, "", "kim@desk", "smoke", "c" * 32, 1.0, 2.0)
    view = heard(make_sample, route("digits", override=by))
    found = blast(OrderKind.THERMAL_HOT, "", [view], [view])
    assert found.lacking == (("a", "thermal policy (the agent is older)"),)
    assert found.held == ()
    held = ThermalOverride(ThermalState.WARM, "ana@desk", "a demo", 60.0)
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)))
    store.add_sample("a", make_sample(thermal=ThermalSample(ThermalState.WARM, override=held)))
    view = store.devices()[0]
    for kind in (OrderKind.THERMAL_RELEASE, OrderKind.THERMAL_HOT):
        found = blast(kind, "", [view], [view])
        assert (found.lacking, found.held) == ((), (("a", "warm by ana@desk"),))
    assert blast(OrderKind.RELEASE, "", [view], [view]).held == ()
