"""The grammar of `:`: commands, their completion, and what to say about a wrong one. No Textual."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.errors import EdgeConsoleError


class CommandError(EdgeConsoleError):
    """A command line cannot be understood; the message names the nearest that can."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command."""

    name: str
    usage: str
    title: str
    takes: str = ""
    """`device`, `filter` or nothing."""
    required: bool = False


VERBS: Final = (
    Verb("device", "device NAME", "open a device", takes="device", required=True),
    Verb("fleet", "fleet [FILTER]", "show the fleet, filtered", takes="filter"),
    Verb("filter", "filter [FILTER]", "filter; without terms, clear", takes="filter"),
    Verb("help", "help", "show the help"),
    Verb("q", "q", "quit"),
)
"""Every command of this release."""

_ALIASES: Final = {"quit": "q", "d": "device", "f": "fleet"}


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command: a verb's name and what follows it."""

    verb: str
    argument: str = ""


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
        raise CommandError(f"no command {words[0]!r}", hint=_nearest(name, names))
    if verb.required and not argument:
        raise CommandError(f":{verb.name} needs a name", hint=f":{verb.usage}")
    if argument and not verb.takes:
        raise CommandError(f":{verb.name} takes nothing after it")
    if verb.takes == "device":
        argument = _device(argument, devices)
    return Command(verb.name, argument)


def _device(wanted: str, devices: Sequence[str]) -> str:
    if wanted in devices:
        return wanted
    folded = [name for name in devices if name.casefold() == wanted.casefold()]
    if len(folded) == 1:
        return folded[0]
    raise CommandError(f"no device {wanted!r}", hint=_nearest(wanted, devices))


def _nearest(wanted: str, names: Sequence[str]) -> str:
    """Name the closest choice; without one, some of the choices."""
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    shown = ", ".join(names[:5])
    return f"there are {shown}{', …' if len(names) > 5 else ''}" if shown else ""


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
    verb = _ALIASES.get(name.casefold(), name.casefold())
    if verb != "device" or not argument.strip():
        return None
    folded = argument.casefold()
    fits_device = sorted(each for each in devices if each.casefold().startswith(folded))
    if not fits_device or fits_device[0].casefold() == folded:
        return None
    return f"{name} {fits_device[0]}"
