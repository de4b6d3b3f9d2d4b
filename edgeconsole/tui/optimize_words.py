"""The grammar of `:optimize`, with the very options of the verb. Pure; no Textual."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NoReturn

from edgeconsole.errors import ConfigError
from edgeconsole.optimization_options import Asked, add_options, read_options
from edgeconsole.tui.command_error import CommandError
from edgeconsole.tui.order_words import known_device


@dataclass(frozen=True, slots=True)
class OptimizeRequest:
    """What was asked for; what is left open is filled in by the form."""

    what: str = ""
    """A model, or `MODEL/VERSION/VARIANT`; empty: what answers on the first device."""
    devices: tuple[str, ...] = ()
    """Empty: those marked, or the one under the cursor."""
    asked: Asked = field(default_factory=Asked)
    reason: str = ""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Raise `CommandError`."""
        raise CommandError(message.removeprefix("argument "))


@cache
def _parser() -> _Parser:
    parser = _Parser(prog=":optimize", add_help=False, allow_abbrev=False)
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--on", nargs="+", action="extend", default=[])
    parser.add_argument("--reason", default="")
    add_options(parser)
    return parser


def parse_optimize(argument: str, devices: Sequence[str]) -> OptimizeRequest:
    """Parse what follows the verb; raises `CommandError`."""
    try:
        words = shlex.split(argument)
    except ValueError as error:
        raise CommandError(f"{argument!r}: {error}", hint="close the quotes") from error
    return parse_words(words, devices)


def parse_words(words: Sequence[str], devices: Sequence[str]) -> OptimizeRequest:
    """Parse the words of a command; raises `CommandError`."""
    options = _parser().parse_args(list(words))
    try:
        asked = read_options(options)
    except ConfigError as error:
        raise CommandError(error.message, hint=error.hint) from error
    return OptimizeRequest(
        what=options.what,
        devices=tuple(dict.fromkeys(known_device(name, devices) for name in options.on)),
        asked=asked,
        reason=options.reason,
    )
