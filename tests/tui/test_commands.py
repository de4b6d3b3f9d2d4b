"""The grammar of `:`."""

from __future__ import annotations

import pytest

from edgeconsole.fleet.orders import THERMAL_KINDS, OrderKind, line_of
from edgeconsole.tui.commands import VERBS, Command, CommandError, complete, parse
from edgeconsole.tui.order_words import OrderRequest

DEVICES = ("dock-0188", "cart-0001", "cart-0002", "[/nope]")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("device dock-0188", Command("device", "dock-0188")),
        (":device  DOCK-0188 ", Command("device", "dock-0188")),
        ("d [/nope]", Command("device", "[/nope]")),
        ("fleet", Command("fleet")),
        ("fleet state=crit temp>75", Command("fleet", "state=crit temp>75")),
        ("filter", Command("filter")),
        ("help", Command("help")),
        ("why", Command("why")),
        ("why DOCK-0188", Command("why", "dock-0188")),
        ("audit", Command("audit")),
        ("jobs", Command("jobs")),
        ("jobs DOCK-0188", Command("jobs", "dock-0188")),
        ("q", Command("q")),
        ("QUIT", Command("q")),
        ("", None),
        (":", None),
    ],
)
def test_commands_are_understood(line: str, command: Command | None) -> None:
    """A verb, and what it takes."""
    assert parse(line, DEVICES) == command


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("devcie dock-0188", "did you mean device?"),
        ("xyzzy", "there are device, fleet"),
        ("device", "needs a name"),
        ("device dock-188", "did you mean dock-0188?"),
        ("device zzz", "there are dock-0188"),
        ("help me", "takes nothing"),
        ("failsafe", "needs on or off"),
        ("failsafe dock-0188", "needs on or off"),
        ("failsafe on dock-188", "did you mean dock-0188?"),
        ("failsafe on --fro 30m", "did you mean --for?"),
        ("failsafe on --for", "--for needs one value"),
        ("failsafe on --for 5m --for 6m", "--for needs one value"),
        ("failsafe on --for soon", "'soon' is not a time"),
        ("failsafe on --for 30d", "lasts from 1s to 7d"),
        ("failsafe off --for 30m", "--for means nothing"),
        ("release --reason 'it is", "close the quotes"),
        ("thermal on dock-0188", "no device 'on'"),
        ("thermal --state hit", "did you mean hot?"),
        ("thermal --state unknown", "there are nominal, warm"),
        ("thermal --state hot --release", "are two orders"),
        ("thermal --release --for 5m", "--for means nothing"),
        ("thermal --model digits", "no option '--model'"),
        ("failsafe on --release", "no option '--release'"),
    ],
)
def test_wrong_commands_name_the_nearest(line: str, part: str) -> None:
    """The message helps on."""
    with pytest.raises(CommandError) as caught:
        parse(line, DEVICES)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("failsafe on", OrderRequest(OrderKind.FAILSAFE_ON)),
        ("fallback OFF dock-0188", OrderRequest(OrderKind.FALLBACK_OFF, ("dock-0188",))),
        (
            "maintenance on [/nope] CART-0001 [/nope] --for 1h30m --reason 'new fan' --model m",
            OrderRequest(
                OrderKind.MAINTENANCE_ON, ("[/nope]", "cart-0001"), "m", 5400.0, "new fan"
            ),
        ),
        ("release --reason done", OrderRequest(OrderKind.RELEASE, reason="done")),
        ("release cart-0001", OrderRequest(OrderKind.RELEASE, ("cart-0001",))),
        ("thermal", OrderRequest(OrderKind.THERMAL_HOT)),
        ("thermal --release", OrderRequest(OrderKind.THERMAL_RELEASE)),
        (
            "thermal CART-0001 dock-0188 --state Warm --for 10m --reason 'a demo'",
            OrderRequest(OrderKind.THERMAL_WARM, ("cart-0001", "dock-0188"), "", 600.0, "a demo"),
        ),
    ],
)
def test_orders_are_understood(line: str, order: OrderRequest) -> None:
    """The words of the command line work behind `:`, with devices in any case and each once."""
    command = parse(line, DEVICES)
    assert command is not None
    assert command.order == order


def test_what_the_dialog_shows_can_be_typed() -> None:
    """The written form of an order is a command that means the same."""
    line = line_of(
        OrderKind.FAILSAFE_ON, ["dock-0188"], model="m", hold_s=5400.0, reason="it's $HOT"
    )
    command = parse(":" + line, DEVICES)
    assert command is not None
    wanted = OrderRequest(OrderKind.FAILSAFE_ON, ("dock-0188",), "m", 5400.0, "it's $HOT")
    assert command.order == wanted
    for kind in THERMAL_KINDS:
        hold_s = 600.0 if kind.lasts else None
        line = line_of(kind, ["dock-0188"], hold_s=hold_s, reason="it's $HOT")
        command = parse(":" + line, DEVICES)
        assert command is not None
        assert command.order == OrderRequest(kind, ("dock-0188",), "", hold_s, "it's $HOT")


def test_an_empty_fleet_has_no_device_to_name() -> None:
    """The message ends where there is nothing to suggest."""
    with pytest.raises(CommandError, match=r"no device 'x'$"):
        parse("device x", ())


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("de", "device "),
        ("DE", "device "),
        ("he", "help"),
        ("help", None),
        ("", None),
        ("zz", None),
        ("device ", None),
        ("device d", "device dock-0188"),
        ("device CART", "device cart-0001"),
        ("device cart-0001", None),
        ("device x", None),
        ("fleet d", None),
        ("fai", "failsafe "),
        ("failsafe o", None),
        ("failsafe on d", "failsafe on dock-0188"),
        ("failsafe on dock-0188 c", "failsafe on dock-0188 cart-0001"),
        ("release c", "release cart-0001"),
        ("thermal c", "thermal cart-0001"),
        ("thermal cart-0001 d", "thermal cart-0001 dock-0188"),
        ("why d", "why dock-0188"),
        ("audit x", None),
    ],
)
def test_completion(line: str, done: str | None) -> None:
    """Verbs complete to the first that fits, devices to the first by name."""
    assert complete(line, DEVICES) == done


def test_every_verb_completes_and_parses() -> None:
    """No verb of the list is unknown to the parser."""
    for verb in VERBS:
        argument = {"device": " dock-0188", "order": " on"}.get(verb.takes, "")
        argument = "" if verb.name in ("release", "thermal") else argument
        assert parse(verb.name + argument, DEVICES) is not None
