"""The grammar of `:`."""

from __future__ import annotations

import pytest

from edgeconsole.tui.commands import VERBS, Command, CommandError, complete, parse

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
    ],
)
def test_wrong_commands_name_the_nearest(line: str, part: str) -> None:
    """The message helps on."""
    with pytest.raises(CommandError) as caught:
        parse(line, DEVICES)
    assert part in str(caught.value)


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
    ],
)
def test_completion(line: str, done: str | None) -> None:
    """Verbs complete to the first that fits, devices to the first by name."""
    assert complete(line, DEVICES) == done


def test_every_verb_completes_and_parses() -> None:
    """No verb of the list is unknown to the parser."""
    for verb in VERBS:
        argument = " dock-0188" if verb.takes == "device" else ""
        assert parse(verb.name + argument, DEVICES) is not None
