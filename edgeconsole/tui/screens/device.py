"""The Device screen: one device with its gauges, charts, models and events."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget

from edgeconsole.tui import actions, charts, device_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.columns import row_role
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import ConsoleScreen, Handler
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.chart import Chart
from edgeconsole.tui.widgets.gauge import Gauges
from edgeconsole.tui.widgets.painted import Lines

_LEAST_EVENTS = 4
_BESIDE = 100
"""From this width on charts stand side by side."""


class DeviceScreen(ConsoleScreen):
    """One device."""

    kind = actions.DEVICE

    def __init__(self, state: ConsoleState, device_id: str) -> None:
        super().__init__(state)
        self.device_id = device_id

    def compose_body(self) -> ComposeResult:
        """Make the parts, top to bottom."""
        glyphs = self.state.glyphs
        with VerticalScroll(id="device-body"):
            yield Lines(glyphs, id="head")
            yield Gauges(glyphs, id="gauges")
            with Horizontal(id="charts"):
                yield Chart(glyphs, id="latency")
                yield Chart(glyphs, id="temperature")
            with Horizontal(id="more-charts"):
                yield Chart(glyphs, id="power")
                yield Chart(glyphs, id="load")
            yield Lines(glyphs, id="models")
            yield Lines(glyphs, id="events")

    @property
    def body(self) -> VerticalScroll:
        """The scrolling part."""
        return self.query_one("#device-body", VerticalScroll)

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

    def draw_body(self) -> None:
        """Draw the device as the frame has it."""
        state, frame = self.state, self.state.frame
        view = frame.by_id[self.device_id]
        width = self.app.size.width - 1
        points = frame.points(state.store, view.id, charts.WINDOWS_S[-1])
        role = row_role(view)
        events = frame.events(state.store, view.id)
        models = device_lines.quiet(device_lines.models(view, width, state.glyphs), role)
        self.query_one("#head", Lines).show(device_lines.head(view, width, state.glyphs))
        self.query_one(Gauges).draw(view, points, width)
        self.query_one("#models", Lines).show(models)
        event_lines = device_lines.events(events, frame, width, state.glyphs)
        self.query_one("#events", Lines).show(event_lines)
        self._share_height(len(models))
        window = charts.window_for(points, frame.at)
        self.query_one("#latency", Chart).draw(charts.latency(view, points), window, role)
        self.query_one("#temperature", Chart).draw(charts.temperature(view, points), window, role)
        self.query_one("#power", Chart).draw(charts.power(view, points), window, role)
        self.query_one("#load", Chart).draw(charts.load(points), window, role)

    def _share_height(self, model_lines: int) -> None:
        """Give the charts the height that head, gauges, models and some events leave."""
        width, height = self.app.size
        fixed = 3 + sum(len(self.query_one(name, Lines).lines) for name in ("#head", "#gauges"))
        spare = height - fixed - 3 - model_lines - _LEAST_EVENTS - 3
        first = min(18, max(7, spare if spare < 13 else round(spare * 0.55)))
        second = min(12, spare - first)
        wide = width >= _BESIDE
        self.set_class(not wide, "-narrow")
        self.query_one("#charts").styles.height = first
        more = self.query_one("#more-charts")
        more.display = wide and second >= 6
        more.styles.height = max(6, second)

    def crumbs(self) -> tuple[list[str], list[Line]]:
        """Return the path back to the fleet."""
        return ["fleet", fmt.cut(fmt.escape(self.device_id), 40)], []
