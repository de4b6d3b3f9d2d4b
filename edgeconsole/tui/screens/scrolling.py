"""Screens whose body scrolls, and screens that ask for what they show every few seconds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.tui import format as fmt
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import ConsoleScreen, Handler
from edgeconsole.tui.service import OrderDesk
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines

_ASK_EVERY_S: Final = 2.0


class ScrollingScreen(ConsoleScreen):
    """A screen with one scrolling body that has the keyboard."""

    @property
    def body(self) -> VerticalScroll:
        """The scrolling part."""
        return self.query_one(".scrolling", VerticalScroll)

    def home(self) -> Widget:
        """Give the keyboard to the scrolling part."""
        return self.body

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        body = self.body
        return {
            **super().handlers(),
            "down": lambda: body.scroll_relative(y=1, animate=False),
            "up": lambda: body.scroll_relative(y=-1, animate=False),
            "top": lambda: body.scroll_home(animate=False),
            "bottom": lambda: body.scroll_end(animate=False),
            "page_down": lambda: body.scroll_page_down(animate=False),
            "page_up": lambda: body.scroll_page_up(animate=False),
        }


class AskingScreen(ScrollingScreen):
    """A screen that asks the desk for its text, again every two seconds while it is on top."""

    def __init__(self, state: ConsoleState, desk: OrderDesk) -> None:
        super().__init__(state)
        self.desk = desk
        self._asked_at: float | None = None
        self._asking = False
        self._wrong = ""

    @abstractmethod
    async def ask(self) -> None:
        """Ask for what is shown and keep it; may raise an `EdgeConsoleError`."""

    @abstractmethod
    def answer(self, width: int) -> Sequence[Line] | None:
        """Return the lines of what was asked; `None` before there is an answer."""

    def compose_body(self) -> ComposeResult:
        """Make one block of lines."""
        with VerticalScroll(classes="scrolling"):
            yield Lines(self.state.glyphs, id="answer")

    def draw_body(self) -> None:
        """Draw the answer there is, and ask again if it is old."""
        now_s = self.state.store.clock()
        old = self._asked_at is None or now_s - self._asked_at >= _ASK_EVERY_S
        if old and not self._asking and self.state.paused_at is None and self.is_current:
            self._asking = True
            self.run_worker(self._ask(), exit_on_error=False)
        width = self.app.size.width - 1
        wrong: list[Line] = [((f" {fmt.escape(self._wrong)}", "crit"),)] if self._wrong else []
        lines = self.answer(width)
        waiting: list[Line] = [((" asking …", "muted"),)]
        self.query_one("#answer", Lines).show(
            [*wrong, *(lines if lines is not None else [] if wrong else waiting)]
        )

    async def _ask(self) -> None:
        try:
            await self.ask()
            self._wrong = ""
        except EdgeConsoleError as error:
            self._wrong = str(error)
        finally:
            self._asking = False
            self._asked_at = self.state.store.clock()
        self.draw()
