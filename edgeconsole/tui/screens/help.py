"""The help: every key, command and shape, made from the lists the console itself runs on."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from edgeconsole.fleet.levels import Level
from edgeconsole.tui import actions, commands
from edgeconsole.tui import filter as filters
from edgeconsole.tui.glyphs import LEVEL_ROLES
from edgeconsole.tui.runs import Line, beside
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines

_MEANINGS = {
    Level.OK: "all is well",
    Level.WARNING: "near a limit, or a model is not ready",
    Level.CRITICAL: "over a limit, or a model cannot answer",
    Level.FAILSAFE: "degraded, or forced by somebody",
    Level.STALE: "not heard for some seconds; figures are old",
    Level.GONE: "not heard for long",
    Level.UNKNOWN: "never heard since the console started",
}


def _keys(registry: actions.ActionRegistry, group: str) -> list[Line]:
    lines: list[Line] = [((group, "strong"),)]
    lines += [
        ((f"{action.key_text:<10} ", "key"), (action.title, "text"))
        for action in registry.actions
        if action.group == group and action.screens != (actions.HELP,)
    ]
    return [*lines, ()]


def _commands() -> list[Line]:
    lines: list[Line] = [(("Commands", "strong"),)]
    lines += [((f":{verb.usage:<16} ", "key"), (verb.title, "text")) for verb in commands.VERBS]
    options = (
        "orders: [DEVICE…] --model M --for 30m --reason …",
        "thermal: --state S or --release",
    )
    return [*lines, *(((each, "muted"),) for each in options), ()]


def _filters() -> list[Line]:
    examples = (
        ("dock", "contains dock"),
        ("!lyon", "does not contain lyon"),
        ("state=crit,warn", "one of these states"),
        ("temp>75", "a figure compared"),
        ("p99>40 site=lyon", "both hold"),
    )
    lines: list[Line] = [(("Filter", "strong"),)]
    lines += [((f"/{text:<16} ", "key"), (title, "text")) for text, title in examples]
    lines.append(((f"words: {', '.join(filters.WORDS)}", "muted"),))
    lines.append(((f"figures: {', '.join(filters.FIGURES)}", "muted"),))
    return [*lines, ()]


def _shapes(state: ConsoleState) -> list[Line]:
    lines: list[Line] = [(("States", "strong"),)]
    for level, meaning in _MEANINGS.items():
        role = LEVEL_ROLES[level]
        lines.append(((f"{state.glyphs.shapes[level]} {role:<9} ", role), (meaning, "text")))
    lines.append((("~ estimated   sim simulated   — unknown", "muted"),))
    return lines


def help_lines(state: ConsoleState, width: int) -> list[Line]:
    """Return the help, in two columns where there is room."""
    groups = list(dict.fromkeys(action.group for action in state.registry.actions))
    left = [line for group in groups for line in _keys(state.registry, group)]
    right = [*_commands(), *_filters(), *_shapes(state)]
    if width < 90:
        return [*left, *right]
    return beside([(left, 47), (right, width - 47 - 3)], gap=3)


class HelpScreen(ModalScreen[None]):
    """The help over the screen it was asked on."""

    kind = actions.HELP

    def __init__(self, state: ConsoleState) -> None:
        super().__init__()
        self.state = state

    def compose(self) -> ComposeResult:
        """Make one scrolling block."""
        with VerticalScroll(id="help-body"):
            yield Lines(self.state.glyphs, id="help-lines")

    def on_mount(self) -> None:
        """Title the box and fill it."""
        body = self.query_one("#help-body", VerticalScroll)
        body.border_title = "Help"
        body.border_subtitle = "Esc closes"
        self.set_focus(body)
        self.on_resize()

    def on_resize(self) -> None:
        """Fit the columns to the width."""
        width = min(116, self.app.size.width - 2) - 7
        self.query_one("#help-lines", Lines).show(help_lines(self.state, width))

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        body = self.query_one("#help-body", VerticalScroll)
        return {
            "close": self._close,
            "down": lambda: body.scroll_relative(y=1, animate=False),
            "up": lambda: body.scroll_relative(y=-1, animate=False),
            "top": lambda: body.scroll_home(animate=False),
            "bottom": lambda: body.scroll_end(animate=False),
            "page_down": lambda: body.scroll_page_down(animate=False),
            "page_up": lambda: body.scroll_page_up(animate=False),
        }

    def _close(self) -> None:
        self.state.guard.changed()
        self.dismiss(None)
