"""What the console needs from the rest: a store that somebody keeps filled."""

from __future__ import annotations

from typing import Protocol

from edgeconsole.fleet.store import FleetStore


class ConsoleService(Protocol):
    """Keeps a store up to date while the console runs, on the console's own event loop."""

    @property
    def store(self) -> FleetStore:
        """The store the screens read."""
        ...

    async def start(self) -> None:
        """Start links and history and return; raises an `EdgeConsoleError` if it cannot."""
        ...

    async def stop(self) -> None:
        """End everything `start` began."""
        ...
