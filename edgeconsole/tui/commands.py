"""The grammar of `:`: commands, their completion, and what to say about a wrong one. No Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.tui import order_words
from edgeconsole.tui.command_error import CommandError, nearest
from edgeconsole.tui.optimize_words import OptimizeRequest, parse_optimize
from edgeconsole.tui.order_words import OrderRequest, known_device

__all__ = ["VERBS", "Command", "CommandError", "Verb", "complete", "parse"]


@dataclass(frozen=True, slots=True)
class Verb:
    """One command."""

    name: str
    usage: str
    title: str
    takes: str = ""
    """`device`, `filter`, `order`, `optimize` or nothing."""
    required: bool = False


VERBS: Final = (
    Verb("device", "device NAME", "open a device", takes="device", required=True),
    Verb("fleet", "fleet [FILTER]", "show the fleet, filtered", takes="filter"),
    Verb("filter", "filter [FILTER]", "filter; without terms, clear", takes="filter"),
    Verb("why", "why [DEVICE]", "what holds its rungs", takes="device"),
    Verb("failsafe", "failsafe on|off …", "force the failsafe", takes="order"),
    Verb("fallback", "fallback on|off …", "force the fallback model", takes="order"),
    Verb("maintenance", "maintenance on|off", "drain, then refuse", takes="order"),
    Verb("release", "release …", "end what was forced", takes="order"),
    Verb("thermal", "thermal …", "force a thermal state", takes="order"),
    Verb("audit", "audit", "what was ordered, and its outcome"),
    Verb("models", "models [DEVICE]", "models, variants, who runs them", takes="device"),
    Verb("optimize", "optimize [MODEL] …", "the optimise form, filled in", takes="optimize"),
    Verb("jobs", "jobs [DEVICE]", "optimisation jobs, their reports", takes="device"),
    Verb("help", "help", "show the help"),
    Verb("q", "q", "quit"),
)
"""Every command of this release. Orders take `[DEVICE…] --model M --for 30m --reason …`, `thermal`
`--state S` or `--release` in the model's place, `optimize` what the verb takes, with `--on DEVICE…`."""

_ALIASES: Final = {"quit": "q", "d": "device", "f": "fleet"}


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command: a verb's name and what follows it."""

    verb: str
    argument: str = ""
    order: OrderRequest | None = None
    """What is ordered, if the verb is an order."""
    optimization: OptimizeRequest | None = None
    """What is to be optimised, if that is the verb."""


def parse(line: str, devices: Sequence[str]) -> Command | None:
    """Parse a command line; `None` for an empty one, `CommandError` for a wrong one."""
    words = line.strip().removeprefix(":").strip().split(None, 1)
    if not words:
        return None
    name = _ALIASES.get(words[0].casefold(), words[0].casefold())
    argument = words[1].strip() if len(words) > 1 else ""
    verb = next((verb for verb in VERBS if verb.name == name), None)
    if verb is None:
        names = [*(verb.name for verb in VERBS), *_ALIASES]
        raise CommandError(f"no command {words[0]!r}", hint=nearest(name, names))
    if verb.required and not argument:
        raise CommandError(f":{verb.name} needs a name", hint=f":{verb.usage}")
    if argument and not verb.takes:
        raise CommandError(f":{verb.name} takes nothing after it")
    if verb.takes == "order":
        return Command(verb.name, argument, order_words.parse_order(name, argument, devices))
    if verb.takes == "optimize":
        return Command(verb.name, argument, optimization=parse_optimize(argument, devices))
    if verb.takes == "device" and argument:
        argument = known_device(argument, devices)
    return Command(verb.name, argument)


def complete(line: str, devices: Sequence[str]) -> str | None:
    """Return the line with its last word completed, or `None` if nothing fits."""
    name, space, argument = line.partition(" ")
    if not space:
        fits = [verb for verb in VERBS if name and verb.name.startswith(name.casefold())]
        if not fits:
            return None
        ending = " " if fits[0].takes else ""
        done = fits[0].name + ending
        return done if len(done) > len(line) else None
    folded_name = _ALIASES.get(name.casefold(), name.casefold())
    verb = next((verb for verb in VERBS if verb.name == folded_name), None)
    if verb is None or verb.takes not in ("device", "order", "optimize") or not argument.strip():
        return None
    before, gap, word = ("", "", argument) if verb.takes == "device" else argument.rpartition(" ")
    switched = verb.takes != "device" and folded_name not in ("release", "thermal")
    if not word or (switched and not gap):
        # What follows the verb itself is on or off, or a model.
        return None
    folded = word.casefold()
    fits_device = sorted(each for each in devices if each.casefold().startswith(folded))
    if not fits_device or fits_device[0].casefold() == folded:
        return None
    return f"{name} {before}{gap}{fits_device[0]}"
