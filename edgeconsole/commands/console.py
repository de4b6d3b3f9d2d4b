"""`edgeconsole` without a verb: the console."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console's own options."""
    parser.add_argument(
        "--glyphs",
        choices=("braille", "block", "ascii"),
        default="braille",
        help="characters for charts (default: braille)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Open the console on the fleet file."""
    from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
    from edgeconsole.fleet.service import FleetService
    from edgeconsole.tui.app import EdgeConsoleApp
    from edgeconsole.tui.hangup import end_with_terminal

    end_with_terminal()
    inventory = load_inventory(find_fleet_file(options.fleet))
    app = EdgeConsoleApp(FleetService(inventory), glyphs=options.glyphs)
    return app.run() or 0
