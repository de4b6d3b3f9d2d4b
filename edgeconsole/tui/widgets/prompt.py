"""The prompt of `:` and `/`: one line of input that keeps the order in which keys were typed.

Textual runs bindings of an input in another queue than its characters. Whoever types ahead would
then see Enter or Tab overtake the letters before it. So all keys with a meaning here are handled
in the same place as the letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from edgeconsole.tui import commands
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.widgets.painted import Lines, put_away

_HISTORY = 100


class Mode(StrEnum):
    """What is being typed."""

    COMMAND = ":"
    FILTER = "/"


class _Completions(Suggester):
    """Shows dim behind the cursor what Tab would add."""

    def __init__(self, complete: Callable[[str], str | None]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        """Return the completed line."""
        return self._complete(value)


class PromptInput(Input):
    """The line itself."""

    _EDITING: ClassVar[dict[str, str]] = {
        "backspace": "delete_left",
        "delete": "delete_right",
        "left": "cursor_left",
        "right": "cursor_right",
        "home": "home",
        "end": "end",
        "ctrl+a": "home",
        "ctrl+e": "end",
        "ctrl+u": "delete_left_all",
        "ctrl+w": "delete_left_word",
        "ctrl+k": "delete_right_all",
    }

    handle: Callable[[str], bool] = staticmethod(lambda _: False)
    """Set by the prompt: does what a key means, and says whether it meant anything."""

    done: bool = False
    """Whether the text was handed over: what is typed behind Enter belongs to nobody."""

    async def _on_key(self, event: events.Key) -> None:
        if self.done:
            pass
        elif event.key in self._EDITING:
            getattr(self, f"action_{self._EDITING[event.key]}")()
        elif not self.handle(event.key):
            return
        event.stop()
        event.prevent_default()


class Prompt(Vertical):
    """The prompt with its sign, its input, and a line for what is wrong."""

    class Edited(Message):
        """The text changed."""

        def __init__(self, mode: Mode, text: str) -> None:
            super().__init__()
            self.mode = mode
            self.text = text

    class Entered(Edited):
        """Enter was pressed."""

    class Cancelled(Message):
        """Escape was pressed."""

        def __init__(self, mode: Mode) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, glyphs: Glyphs, devices: Sequence[str]) -> None:
        super().__init__(id="prompt")
        self._glyphs = glyphs
        self._devices = devices
        self._mode = Mode.COMMAND
        self._history: dict[Mode, list[str]] = {mode: [] for mode in Mode}
        self._place = 0

    def compose(self) -> ComposeResult:
        """Make sign, input and the line for errors."""
        with Horizontal():
            yield Lines(self._glyphs, id="sign")
            line = PromptInput(
                compact=True, select_on_focus=False, suggester=_Completions(self._completed)
            )
            line.handle = self._handle
            line.cursor_blink = False
            yield line
        yield Lines(self._glyphs, id="wrong")

    def open(self, mode: Mode, text: str = "") -> None:
        """Take the keyboard now, not later: the next key may be in the queue already."""
        self._mode = mode
        self._place = len(self._history[mode])
        put_away(self, away=False)
        self.say("")
        self.query_one("#sign", Lines).show([((f" {mode.value}", "accent"),)])
        line = self.line
        line.done = False
        line.value = text
        line.cursor_position = len(text)
        self.screen.set_focus(line, scroll_visible=False)

    def close(self) -> None:
        """Hide; the screen gives the keyboard to somebody else."""
        put_away(self, away=True)

    @property
    def line(self) -> PromptInput:
        """The input."""
        return self.query_one(PromptInput)

    def say(self, message: str) -> None:
        """Show what is wrong with the text, or nothing; it can be typed on."""
        self.line.done = False
        wrong = self.query_one("#wrong", Lines)
        put_away(wrong, away=not message)
        wrong.show([((f"   {message}", "warn"),)] if message else [])

    def remember(self, text: str) -> None:
        """Keep a line for ↑."""
        lines = self._history[self._mode]
        if text and (not lines or lines[-1] != text):
            lines.append(text)
            del lines[:-_HISTORY]

    def _completed(self, value: str) -> str | None:
        return commands.complete(value, self._devices) if self._mode is Mode.COMMAND else None

    def _handle(self, key: str) -> bool:
        if key == "enter":
            self.line.done = True
            self.post_message(self.Entered(self._mode, self.line.value))
        elif key == "escape":
            self.line.done = True
            self.post_message(self.Cancelled(self._mode))
        elif key in ("tab", "shift+tab"):
            self._set(self._completed(self.line.value))
        elif key in ("up", "down"):
            self._recall(-1 if key == "up" else 1)
        else:
            return False
        return True

    def _recall(self, step: int) -> None:
        lines = self._history[self._mode]
        self._place = min(len(lines), max(0, self._place + step))
        self._set(lines[self._place] if self._place < len(lines) else "")

    def _set(self, text: str | None) -> None:
        if text is not None:
            self.line.value = text
            self.line.cursor_position = len(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen about every change, for filters that work while typing."""
        event.stop()
        if not self.has_class("-away") and not self.line.done:
            self.post_message(self.Edited(self._mode, self.line.value))
