"""Orders as values: their written form, their times, their way to a command."""

from __future__ import annotations

import shlex

import pytest

from edgeconsole.errors import ConfigError
from edgeconsole.fleet.orders import (
    NO_REASON,
    THERMAL_KINDS,
    Intent,
    Lane,
    Order,
    OrderKind,
    line_of,
    parse_hold,
)
from edgeconsole.protocol.control import Force, ForceThermal, Release
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.thermal import ThermalState

NOW = 1_800_000_000.0
ID = "c" * 32


def order(kind: OrderKind = OrderKind.FAILSAFE_ON, **changes: object) -> Order:
    """Return an order for one device."""
    fields = {"command_id": ID, "kind": kind, "actor": "kim@desk", "reason": "smoke"} | changes
    return Intent(**fields).order("dock-1", "ws://127.0.0.1:1", NOW)


@pytest.mark.parametrize("text", ["0s", "0.5s", "8d", "999999999d"])
def test_nothing_is_forced_for_no_time_or_for_ever(text: str) -> None:
    """The limits of the wire are said before anything is sent."""
    with pytest.raises(ConfigError, match="lasts from 1s to 7d"):
        parse_hold(text)


def test_the_written_form_survives_a_shell() -> None:
    """Reasons with quotes and signs stay one word; what is default is left out."""
    line = line_of(
        OrderKind.FAILSAFE_ON, ["a", "b"], model="m", hold_s=1800.0, reason="it's; rm -rf $HOME"
    )
    assert shlex.split(line) == [
        *["failsafe", "on", "a", "b", "--model", "m", "--for", "30m"],
        *["--reason", "it's; rm -rf $HOME"],
    ]
    assert line_of(OrderKind.RELEASE, ["a"], hold_s=60.0, reason=NO_REASON) == "release a"


@pytest.mark.parametrize(
    ("kind", "forced", "ended"),
    [
        (OrderKind.FAILSAFE_ON, OverrideKind.FAILSAFE, None),
        (OrderKind.FALLBACK_ON, OverrideKind.FALLBACK, None),
        (OrderKind.MAINTENANCE_ON, OverrideKind.MAINTENANCE, None),
        (OrderKind.FAILSAFE_OFF, None, OverrideKind.FAILSAFE),
        (OrderKind.FALLBACK_OFF, None, OverrideKind.FALLBACK),
        (OrderKind.MAINTENANCE_OFF, None, OverrideKind.MAINTENANCE),
        (OrderKind.RELEASE, None, None),
    ],
)
def test_every_kind_becomes_its_command(
    kind: OrderKind, forced: OverrideKind | None, ended: OverrideKind | None
) -> None:
    """What is ordered on is forced, what is ordered off is released, with the same id and words."""
    command = order(kind, model="digits").command("7", NOW)
    assert (command.id, command.command_id, command.model) == ("7", ID, "digits")
    assert (command.actor, command.reason) == ("kim@desk", "smoke")
    if forced is None:
        assert isinstance(command, Release)
        assert command.kind is ended
    else:
        assert isinstance(command, Force)
        assert (command.kind, command.for_s) == (forced, 1800.0)


@pytest.mark.parametrize(
    ("kind", "state", "line"),
    [
        (OrderKind.THERMAL_NOMINAL, ThermalState.NOMINAL, "--state nominal --for 10m"),
        (OrderKind.THERMAL_WARM, ThermalState.WARM, "--state warm --for 10m"),
        (OrderKind.THERMAL_HOT, ThermalState.HOT, "--state hot --for 10m"),
        (OrderKind.THERMAL_CRITICAL, ThermalState.CRITICAL, "--state critical --for 10m"),
        (OrderKind.THERMAL_RELEASE, None, "--release"),
    ],
)
def test_a_thermal_state_is_forced_and_let_go(
    kind: OrderKind, state: ThermalState | None, line: str
) -> None:
    """It goes in the lane of what forces and releases, and what is sent late ends when it was said to."""
    given = order(kind, hold_s=600.0)
    assert given.line == f"thermal dock-1 {line} --reason smoke"
    assert kind.lane is Lane.LADDER
    command = given.command("7", NOW + 60)
    assert isinstance(command, ForceThermal)
    assert (command.id, command.command_id, command.state) == ("7", ID, state)
    assert (command.actor, command.reason) == ("kim@desk", "smoke")
    if state is not None:
        assert command.for_s == 540.0
        assert given.send_before_unix_s == NOW + 600
    else:
        assert (given.hold_s, given.send_before_unix_s) == (None, NOW + 3600)


def test_every_state_that_can_be_known_can_be_forced() -> None:
    """No state of the policy is without an order, but for unknown."""
    forced = {kind.heat for kind in THERMAL_KINDS}
    assert forced == {None, *ThermalState} - {ThermalState.UNKNOWN}


def test_what_is_sent_late_still_ends_when_it_was_said_to_end() -> None:
    """A quarter of an hour in the queue is taken from what is forced; a clock set back adds none."""
    late = order().command("1", NOW + 900)
    early = order().command("1", NOW - 5000)
    assert isinstance(late, Force)
    assert isinstance(early, Force)
    assert (late.for_s, early.for_s) == (900.0, 1800.0)


def test_an_order_never_waits_longer_than_what_it_forces() -> None:
    """A failsafe for five minutes must not come into force an hour later."""
    assert order(hold_s=300.0).send_before_unix_s == NOW + 300
    assert order(hold_s=86400.0).send_before_unix_s == NOW + 3600
    assert order(OrderKind.RELEASE).send_before_unix_s == NOW + 3600
    assert order(OrderKind.RELEASE).hold_s is None


@pytest.mark.parametrize(("given", "kept"), [("", NO_REASON), ("  ", NO_REASON), ("x" * 500, 200)])
def test_reasons_fit_the_wire(given: str, kept: str | int) -> None:
    """No reason is said as such; a long one is cut to what a command may carry."""
    reason = order(reason=given).reason
    assert reason == kept if isinstance(kept, str) else len(reason) == kept
