"""The Device screen: one device with its gauges, charts, models and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from edgeconsole.fleet import switches
from edgeconsole.fleet.store import DeviceView, Point
from edgeconsole.protocol.telemetry import DeviceEvent
from edgeconsole.tui import (
    actions,
    backlog_lines,
    charts,
    device_lines,
    ladder_lines,
    switch_lines,
    thermal_lines,
)
from edgeconsole.tui import format as fmt
from edgeconsole.tui.columns import row_role
from edgeconsole.tui.runs import Line
from edgeconsole.tui.screens.base import Handler
from edgeconsole.tui.screens.scrolling import ScrollingScreen
from edgeconsole.tui.state import ConsoleState
from edgeconsole.tui.widgets.chart import Chart
from edgeconsole.tui.widgets.gauge import Gauges
from edgeconsole.tui.widgets.painted import Lines, put_away

_LEAST_EVENTS = 4
_ROOMY = 30
"""From this height on the ladder shows every rung."""
_BESIDE = 100
"""From this width on charts stand side by side."""


class DeviceScreen(ScrollingScreen):
    """One device."""

    kind = actions.DEVICE

    def __init__(self, state: ConsoleState, device_id: str) -> None:
        super().__init__(state)
        self.device_id = device_id
        self.longer = 0
        """Which of the longer times the charts show, from 1; 0: what was seen lately."""

    def handlers(self) -> Mapping[str, Handler]:
        """Return what keys do here."""
        return {
            **super().handlers(),
            "longer": lambda: self._show_time(self.longer + 1),
            "shorter": lambda: self._show_time(self.longer - 1),
        }

    def _show_time(self, longer: int) -> None:
        self.longer = min(len(charts.LONGER_S), max(0, longer))
        if self.longer == 0:
            self.state.store.forget_past()
        self.draw()

    def on_unmount(self) -> None:
        """Leave the history alone."""
        self.state.store.forget_past()

    def compose_body(self) -> ComposeResult:
        """Make the parts, top to bottom."""
        glyphs = self.state.glyphs
        with VerticalScroll(id="device-body", classes="scrolling"):
            yield Lines(glyphs, id="head")
            yield Lines(glyphs, id="orders")
            yield Lines(glyphs, id="switch")
            yield Gauges(glyphs, id="gauges")
            with Horizontal(id="charts"):
                yield Chart(glyphs, id="latency")
                yield Chart(glyphs, id="temperature")
            with Horizontal(id="more-charts"):
                yield Chart(glyphs, id="power")
                yield Chart(glyphs, id="load")
            yield Lines(glyphs, id="heat")
            yield Lines(glyphs, id="backlog")
            yield Lines(glyphs, id="ladder")
            yield Lines(glyphs, id="models")
            yield Lines(glyphs, id="events")

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
        waiting = ladder_lines.waiting(view.orders, frame.wall, width)
        orders = self.query_one("#orders", Lines)
        put_away(orders, away=not waiting)
        orders.show(waiting)
        switched = self._switched(points, width)
        put_away(self.query_one("#switch", Lines), away=not switched)
        self.query_one("#switch", Lines).show(device_lines.quiet(switched, role))
        short = self.app.size.height < _ROOMY
        ladder = ladder_lines.ladder(view, frame.wall, width, state.glyphs, short=short)
        self.query_one("#ladder", Lines).show(device_lines.quiet(ladder, role))
        heat = thermal_lines.thermal(view, frame.wall, width, state.glyphs)
        put_away(self.query_one("#heat", Lines), away=not heat)
        self.query_one("#heat", Lines).show(device_lines.quiet(heat, role))
        kept = backlog_lines.backlog(view, width)
        put_away(self.query_one("#backlog", Lines), away=not kept)
        self.query_one("#backlog", Lines).show(device_lines.quiet(kept, role))
        self.query_one(Gauges).draw(view, points, width)
        self.query_one("#models", Lines).show(models)
        event_lines = device_lines.events(events, frame, width, state.glyphs)
        self.query_one("#events", Lines).show(event_lines)
        extra = len(waiting) + len(switched) + len(heat) + len(kept)
        self._share_height(len(models) + len(ladder) + 1 + extra)
        self._draw_charts(view, points, events, role)

    def _draw_charts(
        self,
        view: DeviceView,
        points: Sequence[Point],
        events: Sequence[DeviceEvent],
        role: str | None,
    ) -> None:
        state, now = self.state, self.state.frame.at
        marks = charts.marks(view, events, now, state.glyphs)
        heat = charts.heat_marks(view, events, now, state.glyphs)
        window = charts.window_for(points, now)
        seconds = charts.LONGER_S[self.longer - 1] if self.longer else 0.0
        read: Sequence[Point] | None = points
        if seconds:
            window, read = charts.longer_window(seconds, now), state.store.past(view.id, seconds)
            points = read or ()
        for name, spec in (
            ("#latency", charts.latency(view, points, marks)),
            ("#temperature", charts.temperature(view, points, heat)),
            ("#power", charts.power(view, points, heat)),
            ("#load", charts.load(points)),
        ):
            shown = charts.titled(spec, seconds, read) if seconds else spec
            self.query_one(name, Chart).draw(shown, window, role)

    def _switched(self, points: Sequence[Point], width: int) -> list[Line]:
        """Return what the latest switch to another bundle changed."""
        frame, switch = self.state.frame, self.state.store.switch(self.device_id)
        if switch is None:
            return []
        now = switches.after(points, switch, frame.at)
        return switch_lines.lines(
            switch, now, frame.at, frame.wall, width=width, glyphs=self.state.glyphs
        )

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
