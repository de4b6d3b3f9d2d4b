"""`edgeconsole`: without a verb the console, with one a command for scripts.

Each verb lives in `edgeconsole.commands`; what it needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from edgeconsole import __version__
from edgeconsole.commands import (
    alerts,
    audit,
    bundle,
    console,
    demo,
    deploy,
    history,
    infer,
    jobs,
    models,
    optimize,
    orders,
    pack,
    top,
    why,
)
from edgeconsole.errors import EdgeConsoleError
from edgeconsole.text import discard_output, printable

EXIT_ERROR: Final = 2
_EXIT_INTERRUPTED: Final = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for every error that has a sentence)."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except EdgeConsoleError as error:
        print(f"edgeconsole: {printable(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  {printable(error.hint)}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nobody is left to tell.
        discard_output()
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeconsole",
        description="Run AI on a fleet of edge devices. Without a verb: open the console.",
    )
    parser.add_argument("--version", action="version", version=f"edgeconsole {__version__}")
    parser.add_argument(
        "--fleet",
        type=Path,
        metavar="fleet.toml",
        help="the fleet (default: $EDGECONSOLE_FLEET, ./fleet.toml, the user's own)",
    )
    console.add_arguments(parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    for command in (
        demo,
        top,
        models,
        deploy,
        optimize,
        jobs,
        orders,
        why,
        audit,
        alerts,
        history,
        infer,
        pack,
        bundle,
    ):
        command.add_parser(verbs)
    for verb in verbs.choices.values():
        # Also after the verb, where hands put it.
        verb.add_argument("--fleet", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser
