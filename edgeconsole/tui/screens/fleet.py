"""The Fleet screen: every device in one table, worst first."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui import actions, inspector
from edgeconsole.tui import format as fmt
from edgeconsole.tui.chart_geometry import Window
from edgeconsole.tui.columns import BY_ID, Order
from edgeconsole.tui.inspector import Place
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import ConsoleScreen, Handler
from edgeconsole.tui.sparks import buckets, spark
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.painted import Lines, put_away
from edgeconsole.tui.widgets.table import FleetTable

_SPARK_S = 60.0
_SPARKS_KEPT = 4_000


class FleetScreen(ConsoleScreen):
    """The base screen."""

    kind = actions.FLEET

    class DeviceChosen(Message):
        """A device is to be opened."""

        def __init__(self, device_id: str) -> None:
            super().__init__()
            self.device_id = device_id

    def __init__(self, state: ConsoleState) -> None:
        super().__init__(state)
        self._sparks: dict[tuple[object, ...], Line] = {}
        self._shown = 0
        self._inspected: object = None

    def compose_body(self) -> ComposeResult:
        """Make the table, the inspector beside or below it, and the line for an empty fleet."""
        with Container(id="fleet-body"):
            yield FleetTable(self.state.glyphs, self._spark)
            yield Lines(self.state.glyphs, id="inspector")
        yield Lines(self.state.glyphs, id="empty")

    @property
    def table(self) -> FleetTable:
        """The table."""
        return self.query_one(FleetTable)

    def home(self) -> Widget:
        """Give the keyboard to the table."""
        return self.table

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        table = self.table
        return {
            **super().handlers(),
            "mark": self._mark,
            "faults": self._toggle_faults,
            "sort_previous": lambda: self._sort(self.state.order.beside(-1)),
            "sort_next": lambda: self._sort(self.state.order.beside(1)),
            "sort_reverse": lambda: self._sort(self.state.order.by(self.state.order.column)),
            "down": lambda: table.move(1),
            "up": lambda: table.move(-1),
            "left": lambda: table.move_columns(-1),
            "right": lambda: table.move_columns(1),
            "top": lambda: table.move_end(last=False),
            "bottom": lambda: table.move_end(last=True),
            "page_down": lambda: table.move_page(1),
            "page_up": lambda: table.move_page(-1),
        }

    # Drawing.

    def draw_body(self) -> None:
        """Draw the rows that pass the filter, and the device under the cursor."""
        rows = self.state.rows()
        self._shown = len(rows)
        where = inspector.place(*self.app.size, len(self.state.frame.views))
        body = self.query_one("#fleet-body", Container)
        body.set_class(where is Place.SIDE, "-side")
        body.set_class(where is Place.LOWER, "-lower")
        empty = self.query_one("#empty", Lines)
        put_away(empty, away=bool(rows))
        put_away(body, away=not rows)
        if rows:
            self.table.show(rows, self.state.frame.at)
            self._draw_inspector(where)
        else:
            empty.show(self._nothing())

    def _draw_inspector(self, where: Place) -> None:
        view = self.table.selected
        if where is Place.NONE or view is None:
            return
        state = self.state
        body_size = self.query_one("#fleet-body").size
        second = 0 if view.freshness is Freshness.LIVE else int(state.frame.at)
        newest = state.store.events(view.id)[-1:]
        key = (where, body_size, view.id, view.sample, view.level, view.orders, second, newest)
        if key == self._inspected:
            return
        self._inspected = key
        panel = self.query_one("#inspector", Lines)
        points = state.frame.points(state.store, view.id, 600)
        events = state.frame.events(state.store, view.id)
        if where is Place.SIDE:
            size = (inspector.SIDE_WIDTH, body_size.height)
            lines = inspector.side(
                view, state.frame, points, events, size=size, glyphs=state.glyphs
            )
        else:
            size = (self.app.size.width, inspector.LOWER_HEIGHT)
            lines = inspector.lower(
                view, state.frame, points, events, size=size, glyphs=state.glyphs
            )
        panel.show(lines)

    def _spark(self, view: DeviceView, width: int) -> Line:
        """Draw a device's p99 of the last minute; kept until it has something new to show."""
        frame = self.state.frame
        second = int(frame.at) if view.freshness is not Freshness.LIVE else 0
        heard = (view.sample.boot_id, view.sample.seq) if view.sample else None
        key = (view.id, heard, second, width)
        line = self._sparks.get(key)
        if line is None:
            if len(self._sparks) >= _SPARKS_KEPT:
                self._sparks.clear()
            line = self._sparks[key] = self._new_spark(view, width)
        return line

    def _new_spark(self, view: DeviceView, width: int) -> Line:
        frame = self.state.frame
        if view.active is None:
            return ((" " * width, "text"),)
        points = frame.points(self.state.store, view.id, _SPARK_S + 5)
        values = [(point.at, point.p99_ms) for point in points]
        deadline_ms = view.active.deadline_ms
        shares = [
            None if value is None else value / deadline_ms
            for value in buckets(values, Window(frame.at, _SPARK_S), width)
        ]
        return spark(shares, self.state.glyphs)

    def _nothing(self) -> list[Line]:
        if not self.state.frame.views:
            return [
                (),
                (("   The fleet has no devices yet.", "strong"),),
                (("   Name them in fleet.toml as [[devices]] with an id and a url.", "muted"),),
            ]
        what = "is faulty" if self.state.faults_only and not self.state.filter else "matches"
        return [(), ((f"   No device {what}.", "strong"),), (("   Esc shows all.", "muted"),)]

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the filter, how much it leaves, the order and the marks."""
        state = self.state
        notes: list[Line] = []
        if state.filter:
            notes.append(((f"/{fmt.escape(state.filter.text)}", "accent"),))
        if state.faults_only:
            notes.append((("faults only", "accent"),))
        if notes:
            notes.append(((f"{self._shown:,} of {len(state.frame.views):,}", "muted"),))
        title = "worst first" if state.order == Order() else self._order_text()
        notes.append(((f"sort {title}", "muted"),))
        if marks := len(self.table.marks):
            notes.append(((f"{marks} marked", "muted"),))
        if queued := sum(len(view.orders) for view in state.frame.views):
            notes.append(((f"{queued:,} order{'' if queued == 1 else 's'} queued", "warn"),))
        return ["fleet"], notes

    def _order_text(self) -> str:
        order = self.state.order
        return BY_ID[order.column].title + order.arrow()

    # Keys and the mouse.

    def _mark(self) -> None:
        self.table.toggle_mark()
        self.draw()

    def _toggle_faults(self) -> None:
        self.state.faults_only = not self.state.faults_only
        self.draw()

    def _sort(self, order: Order) -> None:
        self.state.order = order
        self.table.sort_by(order)
        self.draw()

    def on_fleet_table_opened(self, event: FleetTable.Opened) -> None:
        """Open the device that was clicked."""
        self.post_message(self.DeviceChosen(event.device_id))

    def on_fleet_table_moved(self) -> None:
        """Let the inspector follow the cursor."""
        self._draw_inspector(inspector.place(*self.app.size, len(self.state.frame.views)))

    def on_fleet_table_sorted(self, event: FleetTable.Sorted) -> None:
        """Sort by the header that was clicked."""
        self._sort(self.state.order.by(event.column))
