"""Widgets that draw lines of runs: the one place where a role becomes a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from edgeconsole.tui.glyphs import ASCII, BOLD, BRAILLE, ITALIC, Glyphs
from edgeconsole.tui.runs import Line, line_width, pad

_TO_ASCII: Final = str.maketrans("—…°⏎↑↓⇧←→▼▲▸›│·≥┤─━", "-.'r^v^<>v^>>|.>|-=")


def put_away(widget: Widget, *, away: bool) -> None:
    """Hide a widget or show it, by class: a style of its own would outrank the style sheet."""
    widget.set_class(away, "-away")


class Painted(Widget):
    """A widget whose lines are painted by role.

    A role's colour is the theme variable `ec-ROLE`. Component classes would do the same, but each
    is a node of its own for the style sheet: twenty roles made opening a screen take half a second.
    """

    glyphs: Glyphs = BRAILLE
    _role_styles: dict[str, Style] | None = None

    def notify_style_update(self) -> None:
        """Forget the colours of the theme or the background before."""
        self._role_styles = None
        super().notify_style_update()

    def role_style(self, role: str) -> Style:
        """Return the colours of a role on this widget's background."""
        if self._role_styles is None:
            self._role_styles = {}
        style = self._role_styles.get(role)
        if style is None:
            style = self._role_styles[role] = self._new_role_style(role)
        return style

    def theme_color(self, name: str) -> Color:
        """Return a colour of the theme, such as `crit`."""
        return Color.parse(self.app.theme_variables[f"ec-{name}"])

    def _new_role_style(self, role: str) -> Style:
        front, back = self.theme_color(role), self.background_colors[1]
        if role == "badge":
            front, back = back, front
        return Style(
            color=front.rich_color,
            bgcolor=back.rich_color,
            bold=role in BOLD,
            italic=role in ITALIC,
        )

    def strip_of(self, line: Line, width: int, over: Style | None = None) -> Strip:
        """Paint a line, `width` cells wide; `over` is laid over every run."""
        segments = []
        for text, role in pad(line, width):
            style = self.role_style(role)
            shown = text.translate(_TO_ASCII) if self.glyphs is ASCII else text
            segments.append(Segment(shown, style + over if over else style))
        return Strip(segments, width)


class Lines(Painted):
    """A block of lines that is as high as it has lines, and repaints only those that changed."""

    DEFAULT_CSS = """
    Lines { height: auto; width: 1fr; }
    """

    def __init__(self, glyphs: Glyphs = BRAILLE, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.glyphs = glyphs
        self._lines: list[Line] = []

    @property
    def lines(self) -> list[Line]:
        """The lines it shows now."""
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Replace the lines."""
        before, self._lines = self._lines, list(lines)
        if len(before) != len(self._lines):
            self.refresh(layout=True)
            return
        width = self.size.width
        changed = [
            Region(0, y, width, 1)
            for y, (old, new) in enumerate(zip(before, self._lines, strict=True))
            if old != new
        ]
        if changed:
            self.refresh(*changed)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return the number of lines."""
        return len(self._lines)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        """Return the width of the widest line."""
        return max(map(line_width, self._lines), default=0)

    def render_line(self, y: int) -> Strip:
        """Paint one line."""
        width = self.size.width
        return self.strip_of(self._lines[y] if y < len(self._lines) else (), width)
