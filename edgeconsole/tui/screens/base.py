"""What all screens share: health bar, notice, prompt, crumbs, keys, and the message "too small"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from edgeconsole.tui import format as fmt
from edgeconsole.tui.runs import Line
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.crumbs import Crumbs
from edgeconsole.tui.widgets.footer import Keys
from edgeconsole.tui.widgets.healthbar import HealthBar
from edgeconsole.tui.widgets.painted import Lines, put_away
from edgeconsole.tui.widgets.prompt import Mode, Prompt

LEAST_SIZE: Final = (60, 16)

Handler = Callable[[], Awaitable[None] | None]


class ConsoleScreen(Screen[None]):
    """A screen that draws frames."""

    kind: ClassVar[str] = ""
    """The screen's name in the action registry."""

    class CommandEntered(Message):
        """A command line was entered."""

        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    class FilterTyped(Message):
        """A filter is being typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, state: ConsoleState) -> None:
        super().__init__()
        self.state = state

    def compose(self) -> ComposeResult:
        """Put the frame around the body."""
        glyphs = self.state.glyphs
        yield HealthBar(glyphs, id="health")
        yield Lines(glyphs, id="notice")
        yield Lines(glyphs, id="told")
        yield from self.compose_body()
        yield Prompt(glyphs, self.state.store.ids())
        yield Crumbs(glyphs, id="crumbs")
        yield Keys(glyphs, id="keys")
        yield Lines(glyphs, id="small")

    # What each screen fills in.

    def compose_body(self) -> ComposeResult:
        """Make the screen's own widgets."""
        raise NotImplementedError

    def handlers(self) -> Mapping[str, Handler]:
        """Return what the screen does for the actions of the registry."""
        return {
            "command": lambda: self.prompt.open(Mode.COMMAND),
            "filter": lambda: self.prompt.open(Mode.FILTER, self.state.filter.text),
        }

    def draw_body(self) -> None:
        """Draw the state's frame."""
        raise NotImplementedError

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path to this screen, and notes about what it shows."""
        raise NotImplementedError

    def home(self) -> Widget:
        """Return the widget that has the keyboard when no prompt is open."""
        raise NotImplementedError

    # What they share.

    @property
    def prompt(self) -> Prompt:
        """The prompt."""
        return self.query_one(Prompt)

    def draw(self) -> None:
        """Draw the state's frame, or say that there is no room for it."""
        if not self.query("#small"):
            return  # The screen is being taken down; a tick came between.
        width, height = self.app.size
        small = width < LEAST_SIZE[0] or height < LEAST_SIZE[1]
        self.set_class(small, "-small")
        if small:
            self.query_one("#small", Lines).show(_too_small(width, height))
            return
        self.query_one(HealthBar).draw(self.state, width)
        notice = self.query_one("#notice", Lines)
        wrong = self.state.notice or self.state.problem
        put_away(notice, away=not wrong)
        notice.show([((f" {fmt.escape(wrong)}", "crit"),)])
        told = self.query_one("#told", Lines)
        put_away(told, away=not self.state.telling)
        told.show([((f" {fmt.escape(self.state.telling)}", "accent"),)])
        self.draw_body()
        path, notes = self.crumbs()
        rate: Line = ((f"{self.state.refresh_hz:.0f} Hz", "faint"),)
        self.query_one(Crumbs).draw(path, notes, rate, width)
        self.query_one(Keys).draw(self.state.registry.footer(self.kind), width)

    def on_mount(self) -> None:
        """Hide what is not in use and draw."""
        self.prompt.close()
        self.set_focus(self.home())
        self.draw()

    def on_screen_resume(self) -> None:
        """Draw at once: the last frame seen here may be old."""
        self.draw()

    def on_resize(self) -> None:
        """Draw at the new size, once the widgets have theirs."""
        self.draw()
        self.call_after_refresh(self.draw)

    def close_prompt(self) -> None:
        """Hide the prompt and give the keyboard back."""
        self.prompt.close()
        self.set_focus(self.home())
        self.state.guard.changed()

    def on_prompt_edited(self, event: Prompt.Edited) -> None:
        """Apply a filter while it is typed; wipe the complaint about a command."""
        event.stop()
        if event.mode is Mode.FILTER:
            self.post_message(self.FilterTyped(event.text))
        else:
            self.prompt.say("")

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        """Hand the line to the app: a filter is the command `:filter` with another key."""
        event.stop()
        self.prompt.remember(event.text)
        sign = "filter " if event.mode is Mode.FILTER else ""
        self.post_message(self.CommandEntered(sign + event.text))

    def on_prompt_cancelled(self, event: Prompt.Cancelled) -> None:
        """Close the prompt; a filter that was being typed goes with it."""
        event.stop()
        if event.mode is Mode.FILTER:
            self.post_message(self.FilterTyped(""))
        self.close_prompt()


def _too_small(width: int, height: int) -> list[Line]:
    blank: list[Line] = [()] * max(0, height // 2 - 2)
    texts = (
        ("The terminal is too small.", "strong"),
        (f"it is {width}x{height}", "warn"),
        (f"EdgeConsole needs {LEAST_SIZE[0]}x{LEAST_SIZE[1]}", "text"),
    )
    lines: list[Line] = [((text.center(width), role),) for text, role in texts]
    return blank + lines
