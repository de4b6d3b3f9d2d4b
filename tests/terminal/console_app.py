"""A console over a canned fleet; a key that "changes a device", and orders, write to a file.

python console_app.py PROBE_FILE [lab|single|hostile|fallen]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tui"))

import fleets

from edgeconsole.fleet.orders import Intent
from edgeconsole.tui.actions import ACTIONS, MAIN, Action, ActionRegistry, Danger
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.hangup import end_with_terminal

PROBE = Action("probe", ("Z",), "change something", MAIN, "Test", danger=Danger.CHANGE)


class WritingDesk(fleets.CannedDesk):
    """Takes an order by writing it to a file."""

    def __init__(self, probe_file: Path) -> None:
        super().__init__(said=fleets.explained(), rows=fleets.audited())
        self._probe_file = probe_file

    async def order(self, intent: Intent, device_ids: Sequence[str]) -> None:
        """Write it down."""
        await super().order(intent, device_ids)
        with self._probe_file.open("a") as file:
            file.write(f"{intent.kind.value} {' '.join(device_ids)}: {intent.reason}\n")


def build(probe_file: Path, fleet: str) -> EdgeConsoleApp:
    """Return the console; `Z` and orders append a line to the file."""

    def fire() -> None:
        with probe_file.open("a") as file:
            file.write("fired\n")

    store, clock = getattr(fleets, fleet)()
    return EdgeConsoleApp(
        fleets.CannedService(store, desk=WritingDesk(probe_file)),
        wall_clock=fleets.wall_of(clock),
        registry=ActionRegistry((*ACTIONS, PROBE)),
        extra_handlers={"probe": fire},
    )


if __name__ == "__main__":
    end_with_terminal()
    app = build(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "lab")
    result = app.run()
    sys.exit(app.return_code if result is None else result)
