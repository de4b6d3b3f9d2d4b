"""The Device screen's gauges."""

from __future__ import annotations

from edgeconsole.fleet.store import DeviceView, Point
from edgeconsole.tui import gauges
from edgeconsole.tui.columns import row_role
from edgeconsole.tui.device_lines import quiet
from edgeconsole.tui.widgets.painted import Lines


class Gauges(Lines):
    """Latency, temperature, power, load and rate as bars, and why one of them is unknown."""

    def draw(self, view: DeviceView, points: tuple[Point, ...], width: int) -> None:
        """Show a device's latest figures."""
        lines = gauges.grid(gauges.gauges(view, points), width, self.glyphs)
        self.show(quiet([*lines, *gauges.reasons(view)], row_role(view)))
