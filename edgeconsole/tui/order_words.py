"""The grammar of orders behind `:`, the same words as on the command line. Pure; no Textual."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.errors import ConfigError
from edgeconsole.fleet.orders import THERMAL_KINDS, OrderKind, parse_hold
from edgeconsole.tui.command_error import CommandError, nearest

OPTIONS: Final = ("--model", "--for", "--reason")
THERMAL_OPTIONS: Final = ("--state", "--for", "--reason")
_RELEASE: Final = "--release"
STATES: Final = tuple(kind.value.split()[1] for kind in THERMAL_KINDS)
"""What the thermal policy may be ordered to; the last one lets go of it."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What was asked for; what is left open is filled in by the dialog that confirms it."""

    kind: OrderKind
    devices: tuple[str, ...] = ()
    """Empty: those marked, or the one under the cursor."""
    model: str = ""
    hold_s: float | None = None
    reason: str = ""


def parse_order(verb: str, argument: str, devices: Sequence[str]) -> OrderRequest:
    """Parse what follows an order's verb; raises `CommandError`."""
    try:
        words = shlex.split(argument)
    except ValueError as error:
        raise CommandError(f"{argument!r}: {error}", hint="close the quotes") from error
    if verb == "thermal":
        named, options = _options([each for each in words if each != _RELEASE], THERMAL_OPTIONS)
        kind = _heat(options.get("--state", ""), release=_RELEASE in words)
    else:
        kind, words = _kind(verb, words)
        named, options = _options(words, OPTIONS)
    hold = options.get("--for")
    if hold is not None and not kind.lasts:
        raise CommandError(f":{kind.value} ends at once, so --for means nothing")
    try:
        hold_s = None if hold is None else parse_hold(hold)
    except ConfigError as error:
        raise CommandError(error.message, hint=error.hint) from error
    return OrderRequest(
        kind=kind,
        devices=tuple(dict.fromkeys(known_device(name, devices) for name in named)),
        model=options.get("--model", ""),
        hold_s=hold_s,
        reason=options.get("--reason", ""),
    )


def _kind(verb: str, words: list[str]) -> tuple[OrderKind, list[str]]:
    if verb == OrderKind.RELEASE:
        return OrderKind.RELEASE, words
    switch = words[0].casefold() if words else ""
    if switch not in ("on", "off"):
        raise CommandError(f":{verb} needs on or off", hint=f":{verb} on [DEVICE…]")
    return OrderKind(f"{verb} {switch}"), words[1:]


def thermal_kind(word: str) -> OrderKind:
    """Return what is ordered of the thermal policy, one of `STATES`; raises `CommandError`."""
    if word.casefold() not in STATES:
        raise CommandError(f"no state {word!r} to force", hint=nearest(word, STATES))
    return OrderKind(f"thermal {word.casefold()}")


def _heat(state: str, *, release: bool) -> OrderKind:
    if release and state:
        raise CommandError("--state and --release are two orders")
    if release:
        return OrderKind.THERMAL_RELEASE
    return thermal_kind(state) if state else OrderKind.THERMAL_HOT


def _options(words: list[str], known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    named: list[str] = []
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            named.append(word)
            continue
        if word not in known:
            raise CommandError(f"no option {word!r}", hint=nearest(word, known))
        value = next(rest, "")
        if not value or word in options:
            raise CommandError(f"{word} needs one value")
        options[word] = value
    return named, options


def known_device(wanted: str, devices: Sequence[str]) -> str:
    """Return the device meant by a name in any case; raises `CommandError` naming the nearest."""
    if wanted in devices:
        return wanted
    folded = [name for name in devices if name.casefold() == wanted.casefold()]
    if len(folded) == 1:
        return folded[0]
    raise CommandError(f"no device {wanted!r}", hint=nearest(wanted, devices))
