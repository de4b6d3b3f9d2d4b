"""Screens that list what devices say, with a cursor that stays on its row while others come and go."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from textual.geometry import Region

from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.screens.scrolling import AskingScreen
from edgeconsole.tui.service import OrderDesk
from edgeconsole.tui.state import ConsoleState

Key = TypeVar("Key")


class ListingScreen(AskingScreen, Generic[Key]):
    """A list below one line of headings."""

    def __init__(self, state: ConsoleState, desk: OrderDesk) -> None:
        super().__init__(state, desk)
        self._selected: Key | None = None
        self._place = 0

    @abstractmethod
    def keys(self) -> Sequence[Key]:
        """Return what the rows are, top to bottom."""

    @property
    def selected(self) -> Key | None:
        """The row under the cursor."""
        keys = self.keys()
        if self._selected in keys:
            self._place = keys.index(self._selected)
        elif keys:
            self._place = min(self._place, len(keys) - 1)
            self._selected = keys[self._place]
        else:
            self._selected = None
        return self._selected

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here: they move a cursor instead of the text."""
        page, every = max(1, self.body.size.height - 2), len(self.keys())
        steps = {
            "down": 1,
            "up": -1,
            "top": -every,
            "bottom": every,
            "page_down": page,
            "page_up": -page,
        }

        def mover(step: int) -> Handler:
            return lambda: self._move(step)

        return {**super().handlers(), **{name: mover(step) for name, step in steps.items()}}

    def _move(self, step: int) -> None:
        keys = self.keys()
        if self.selected is None:
            return
        self._place = max(0, min(len(keys) - 1, self._place + step))
        self._selected = keys[self._place]
        self.draw()
        # The headings stay in sight above the first row.
        line = self._place + 1 if self._place else 0
        self.body.scroll_to_region(Region(0, line, 1, 1), animate=False)
