"""The fleet table: a virtual list that draws only the rows in sight, straight from a frame.

Nothing here costs by the number of devices but the sort. The cursor belongs to a device, not to a
row, and columns hold still while figures change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui import column_layout, columns
from edgeconsole.tui.column_layout import Placed
from edgeconsole.tui.columns import Order
from edgeconsole.tui.format import fit
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line
from edgeconsole.tui.widgets.painted import Painted

SparkOf = Callable[[DeviceView, int], Line]
"""Draws a device's recent latency into so many cells."""

_WIDTHS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Row:
    """What one line shows; two equal rows look the same."""

    line: Line
    cursor: bool = False
    marked: bool = False
    view: DeviceView | None = field(default=None, compare=False)

    def still_shows(self, view: DeviceView, *, cursor: bool, marked: bool) -> bool:
        """Say whether a device would look the same again; only what is live does not age."""
        was = self.view
        return (
            was is not None
            and was.sample is view.sample
            and was.level is view.level
            and view.freshness is Freshness.LIVE is was.freshness
            and was.id == view.id
            and (self.cursor, self.marked) == (cursor, marked)
        )


@dataclass(slots=True)
class _Widths:
    """The widths contents want, looked at only now and then because that costs by device."""

    wants: dict[str, int] = field(default_factory=dict)
    looked_at: float = float("-inf")


class FleetTable(ScrollView, Painted, can_focus=True):
    """All devices that pass the filter, one line each."""

    class Opened(Message):
        """A device was chosen with the mouse."""

        def __init__(self, device_id: str) -> None:
            super().__init__()
            self.device_id = device_id

    class Moved(Message):
        """The cursor is on another device."""

    class Sorted(Message):
        """A header was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, glyphs: Glyphs, spark_of: SparkOf) -> None:
        super().__init__(id="table")
        self.glyphs = glyphs
        self.order = Order()
        self.marks: set[str] = set()
        self._spark_of = spark_of
        self._rows: Sequence[DeviceView] = ()
        self._places: dict[str, int] = {}
        self._cursor_id: str | None = None
        self._cursor = 0
        self._held = False
        self._pan = 0
        self._widths = _Widths()
        self._placed: tuple[Placed, ...] = ()
        self._drawn: dict[int, _Row] = {}

    # What the screen tells it.

    def show(self, rows: Sequence[DeviceView], at: float) -> None:
        """Show these devices in this order; only lines that changed are repainted."""
        count_before = len(self._rows)
        self._rows = rows
        self._places = {view.id: index for index, view in enumerate(rows)}
        self._place_cursor()
        if at - self._widths.looked_at >= _WIDTHS_EVERY_S:
            self._widths = _Widths(column_layout.wanted(rows, self._widths.wants), at)
        if len(rows) != count_before:
            self.virtual_size = Size(self.size.width, len(rows) + 1)
        self._arrange()

    def _place_cursor(self) -> None:
        before = self._cursor
        if not self._rows:
            self._cursor, self._cursor_id = 0, None
            return
        # Until somebody moves it, the cursor stays on the worst device.
        place = self._places.get(self._cursor_id or "") if self._held else 0
        self._cursor = min(before, len(self._rows) - 1) if place is None else place
        self._cursor_id = self._rows[self._cursor].id
        if self._held and self._cursor != before:
            self._keep_in_sight()

    def _arrange(self, *, all_lines: bool = False) -> None:
        """Lay the columns out and repaint what differs from what was drawn."""
        placed = column_layout.layout(self.size.width, self._widths.wants, self._pan)
        if placed != self._placed or all_lines:
            self._placed = placed
            self._drawn.clear()
            self.refresh()
            return
        width, top = self.size.width, self.scroll_offset.y
        changed = []
        drawn, self._drawn = self._drawn, {}
        for y in range(1, self.size.height):
            index = top + y - 1
            was = drawn.get(index)
            row = self._drawn[index] = self._row(index, was)
            if was != row:
                changed.append(Region(0, y, width, 1))
        if changed:
            self.refresh(*changed)

    # What it tells the screen.

    @property
    def selected(self) -> DeviceView | None:
        """The device under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def can_pan(self) -> bool:
        """Whether some columns are out of sight."""
        return column_layout.last_pan(self.size.width, self._widths.wants) > 0

    # What keys do.

    def move(self, rows: int) -> None:
        """Move the cursor by some rows."""
        self._go(self._cursor + rows)

    def move_page(self, pages: int) -> None:
        """Move the cursor by a page."""
        self._go(self._cursor + pages * max(1, self.size.height - 2))

    def move_end(self, *, last: bool) -> None:
        """Move the cursor to the first or the last row."""
        self._go(len(self._rows) - 1 if last else 0)

    def move_columns(self, step: int) -> None:
        """Move the columns sideways, where some are out of sight."""
        last = column_layout.last_pan(self.size.width, self._widths.wants)
        self._pan = min(last, max(0, self._pan + step))
        self._arrange()

    def toggle_mark(self) -> None:
        """Mark the device under the cursor, or unmark it."""
        if self._cursor_id is not None:
            self.marks ^= {self._cursor_id}
            self._arrange()

    def sort_by(self, order: Order) -> None:
        """Change the order; the next `show` brings the rows."""
        self.order = order
        self._arrange(all_lines=True)

    def _go(self, index: int) -> None:
        if not self._rows:
            return
        self._cursor = min(len(self._rows) - 1, max(0, index))
        self._cursor_id = self._rows[self._cursor].id
        self._held = True
        self._keep_in_sight()
        self._arrange()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        top, height = self.scroll_offset.y, self.size.height - 1
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)

    # Drawing.

    def _row(self, index: int, was: _Row | None = None) -> _Row:
        if not 0 <= index < len(self._rows):
            return _Row(())
        view = self._rows[index]
        cursor, marked = index == self._cursor, view.id in self.marks
        if was is not None and was.still_shows(view, cursor=cursor, marked=marked):
            return was
        return _Row(self._line(view, cursor=cursor, marked=marked), cursor, marked, view)

    def _line(self, view: DeviceView, *, cursor: bool, marked: bool) -> Line:
        whole = columns.row_role(view)
        pointer = self.glyphs.pointer if cursor else " "
        runs = [(pointer, "accent"), (self.glyphs.mark if marked else " ", "accent")]
        x = column_layout.MARGIN
        for placed in self._placed:
            column, width = placed.column, placed.width
            if placed.x > x:
                runs.append((" " * (placed.x - x), "text"))
            x = placed.x + width
            if column.id == "spark":
                spark = self._spark_of(view, width)
                runs.extend((text, whole or role) for text, role in spark)
                continue
            is_state = column.id == "state"
            text, role = columns.state_cell(view, self.glyphs) if is_state else column.cell(view)
            role = role if is_state else whole or role
            runs.append((fit(text, width, ">" if column.right else "<"), role))
        return tuple(runs)

    def _header(self) -> Strip:
        runs = []
        x = 0
        for placed in self._placed:
            column = placed.column
            title = column.title
            if column.id == self.order.column:
                title += self.order.arrow()
            # An arrow may use the gap beside its column, so that titles are never cut.
            over = max(0, len(title) - placed.width)
            start = placed.x - over if column.right else placed.x
            runs.append((" " * (start - x), "muted"))
            width = placed.width + over
            role = "strong" if column.id == self.order.column else "muted"
            runs.append((fit(title, width, ">" if column.right else "<"), role))
            x = start + width
        back = self.theme_color("bar").rich_color
        return self.strip_of(tuple(runs), self.size.width, Style(bgcolor=back))

    def render_line(self, y: int) -> Strip:
        """Paint the header or a row in sight."""
        if y == 0:
            return self._header()
        index = self.scroll_offset.y + y - 1
        row = self._drawn.get(index)
        if row is None:
            row = self._drawn[index] = self._row(index)
        over = None
        if row.cursor:
            over = Style(bgcolor=self.theme_color("cursor").rich_color)
        return self.strip_of(row.line, self.size.width, over)

    # The mouse and the window.

    def on_resize(self) -> None:
        """Lay the columns out anew and keep the cursor in sight."""
        self._pan = min(self._pan, column_layout.last_pan(self.size.width, self._widths.wants))
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)
        self._arrange(all_lines=True)
        self.call_after_refresh(self._keep_in_sight)

    def on_click(self, event: events.Click) -> None:
        """Sort by a header; move to a row, or open it if the cursor is there already."""
        if event.y == 0:
            self._click_header(event.x)
            return
        index = self.scroll_offset.y + event.y - 1
        if index >= len(self._rows):
            return
        if index == self._cursor and self._held:
            self.post_message(self.Opened(self._rows[index].id))
        else:
            self._go(index)

    def _click_header(self, x: int) -> None:
        for placed in self._placed:
            if (
                placed.x <= x < placed.x + placed.width + column_layout.GAP - 1
                and placed.column.key
            ):
                self.post_message(self.Sorted(placed.column.id))
                return
