"""A console over a canned fleet, with one key that "changes a device" by writing to a file.

python console_app.py PROBE_FILE [lab|single|hostile]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tui"))

import fleets

from edgeconsole.tui.actions import ACTIONS, MAIN, Action, ActionRegistry, Danger
from edgeconsole.tui.app import EdgeConsoleApp

PROBE = Action("probe", ("X",), "change something", MAIN, "Test", danger=Danger.CHANGE)


def build(probe_file: Path, fleet: str) -> EdgeConsoleApp:
    """Return the console; `X` appends a line to the file."""

    def fire() -> None:
        with probe_file.open("a") as file:
            file.write("fired\n")

    store, clock = getattr(fleets, fleet)()
    return EdgeConsoleApp(
        fleets.CannedService(store),
        wall_clock=fleets.wall_of(clock),
        registry=ActionRegistry((*ACTIONS, PROBE)),
        extra_handlers={"probe": fire},
    )


if __name__ == "__main__":
    app = build(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "lab")
    result = app.run()
    sys.exit(app.return_code if result is None else result)
