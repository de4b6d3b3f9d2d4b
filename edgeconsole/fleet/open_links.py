"""Which devices can be spoken to now: the links that are live, for whoever has a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgeconsole.fleet.control import ControlLink


class OpenLinks:
    """Live links by device."""

    def __init__(self) -> None:
        self.opened: Callable[[str], None] = lambda _: None
        """Called with a device's id when a link to it becomes live."""
        self._links: dict[str, ControlLink] = {}

    def get(self, device_id: str) -> ControlLink | None:
        """Return the device's link, if it is live."""
        return self._links.get(device_id)

    @contextmanager
    def through(self, device_id: str, link: ControlLink) -> Iterator[None]:
        """Offer a link to others for as long as it is live."""
        self._links[device_id] = link
        self.opened(device_id)
        try:
            yield
        finally:
            del self._links[device_id]
