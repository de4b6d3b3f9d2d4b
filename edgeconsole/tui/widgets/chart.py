"""A chart over time that draws itself anew only when its data or its columns have moved."""

from __future__ import annotations

import math

from textual.geometry import Size

from edgeconsole.tui import charts
from edgeconsole.tui.chart_geometry import Window
from edgeconsole.tui.charts import ChartSpec
from edgeconsole.tui.device_lines import quiet
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.widgets.painted import Lines


class Chart(Lines):
    """One chart; its size comes from the screen, not from its content."""

    def __init__(self, glyphs: Glyphs, *, id: str) -> None:  # noqa: A002 - as Textual names it
        super().__init__(glyphs, id=id)
        self._drawn: object = None

    def draw(self, spec: ChartSpec, window: Window, role: str | None) -> None:
        """Show a chart; `role` takes the colour out of one that is not live."""
        width, height = self.size
        if width < 1 or height < 1:
            return
        columns = max(1, width * self.glyphs.dots_x)
        column = math.floor(window.until / (window.seconds / columns))
        last = tuple(curve.points[-1] if curve.points else None for curve in spec.series)
        fixed = (spec.title, spec.limits, spec.marks, spec.empty, role)
        key = (width, height, window.seconds, column, last, fixed)
        if key != self._drawn:
            self._drawn = key
            lines = charts.draw(spec, window, (width, height), self.glyphs)
            self.show(quiet(lines, role))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return the height the screen gave it."""
        return container.height
