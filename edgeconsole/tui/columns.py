"""The fleet table's columns: what a cell shows and how it sorts. Pure; no Textual.

Colour marks the abnormal only: a healthy row is plain, the figure that makes it unhealthy is not.
A row that is not live takes one quiet role as a whole, so that old figures do not look like new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from edgeconsole.fleet.levels import WARN_BUDGET, Freshness, Level
from edgeconsole.fleet.routes import answering
from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui import format as fmt
from edgeconsole.tui.filter import rate_of
from edgeconsole.tui.glyphs import LEVEL_ROLES, Glyphs
from edgeconsole.tui.runs import Run

Key = Callable[[DeviceView], float | str | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    id: str
    title: str
    least: int
    """The narrowest it can be."""
    most: int
    """The widest it gets, if its content wants that."""
    rank: int
    """Who stays when room is short: 1 stays longest."""
    cell: Callable[[DeviceView], Run]
    key: Key | None
    """What it sorts by; `None`: not sortable."""
    right: bool = True
    largest_first: bool = True
    pinned: bool = False
    """Stays in place when the columns are moved sideways."""


def _model_figure(read: Callable[[DeviceView], float | None]) -> Callable[[DeviceView], Run]:
    return lambda view: (fmt.figure(read(view)), "text")


def _p50(view: DeviceView) -> float | None:
    return view.active.p50_ms if view.active else None


def _p95(view: DeviceView) -> float | None:
    return view.active.p95_ms if view.active else None


def _p99(view: DeviceView) -> float | None:
    return view.active.p99_ms if view.active else None


def _temp(view: DeviceView) -> float | None:
    return view.sample.temp_c.value if view.sample else None


def _power(view: DeviceView) -> float | None:
    return view.sample.power_w.value if view.sample else None


def _cpu(view: DeviceView) -> float | None:
    return view.sample.cpu_percent if view.sample else None


def _memory(view: DeviceView) -> float | None:
    return view.sample.memory_percent if view.sample else None


def budget_role(share: float | None) -> str:
    """Return the role of a share of a deadline."""
    if share is None or share < WARN_BUDGET:
        return "text"
    return "crit" if share > 1 else "warn"


def temp_role(view: DeviceView) -> str:
    """Return the role of a device's temperature."""
    temp_c = _temp(view)
    if temp_c is None or temp_c < view.warn_temp_c:
        return "text"
    return "crit" if temp_c >= view.max_temp_c else "warn"


def _drawn_apart(_: DeviceView) -> Run:
    """Stand in for the columns that need more than a view."""
    return "", ""


def active_text(view: DeviceView) -> str:
    """Return the active model as `name/variant`."""
    if view.active is None:
        return fmt.UNKNOWN
    return fmt.escape(f"{view.active.model}/{view.active.variant}")


def _active(view: DeviceView) -> Run:
    """Return who answers: the active model, or the rung that stands in for it."""
    if view.route is None:
        return active_text(view), "text"
    return fmt.escape(answering(view.route)), "failsafe"


def _state_key(view: DeviceView) -> float:
    # Worst level first; within a level, the one nearest to its deadline.
    return -(int(view.level) - min(view.budget or 0.0, 1e6) / 1e7)


COLUMNS: Final = (
    Column("state", "state", 10, 10, 1, _drawn_apart, _state_key, False, True, True),
    Column(
        "device",
        "device",
        10,
        28,
        1,
        lambda view: (fmt.escape(view.id), "strong"),
        lambda view: view.id.casefold(),
        False,
        False,
        True,
    ),
    Column(
        "site",
        "site",
        6,
        14,
        11,
        lambda view: (fmt.escape(view.site), "muted"),
        lambda view: view.site.casefold() or None,
        False,
        False,
    ),
    Column(
        "active",
        "active",
        11,
        26,
        6,
        _active,
        lambda view: active_text(view) if view.active else None,
        False,
        False,
    ),
    Column("p50", "p50", 5, 5, 12, _model_figure(_p50), _p50),
    Column("p95", "p95", 5, 5, 10, _model_figure(_p95), _p95),
    Column(
        "p99",
        "p99",
        5,
        5,
        2,
        lambda view: (fmt.figure(_p99(view)), budget_role(view.budget)),
        _p99,
    ),
    Column(
        "budget",
        "budget",
        6,
        6,
        3,
        lambda view: (fmt.percent(view.budget), budget_role(view.budget)),
        lambda view: view.budget,
    ),
    Column("spark", "p99/60s", 10, 30, 8, _drawn_apart, None, right=False),
    Column(
        "temp",
        "°C",
        4,
        8,
        5,
        lambda view: (fmt.reading(view.sample.temp_c) if view.sample else "—", temp_role(view)),
        _temp,
    ),
    Column(
        "power",
        "W",
        5,
        9,
        7,
        lambda view: (fmt.reading(view.sample.power_w, 1) if view.sample else "—", "text"),
        _power,
    ),
    Column("cpu", "cpu%", 4, 4, 13, lambda view: (fmt.whole(_cpu(view)), "text"), _cpu),
    Column("mem", "mem%", 4, 4, 14, lambda view: (fmt.whole(_memory(view)), "text"), _memory),
    Column("rate", "req/s", 6, 6, 9, lambda view: (fmt.tenth(rate_of(view)), "text"), rate_of),
    Column(
        "seen",
        "seen",
        8,
        8,
        4,
        lambda view: (fmt.seen(view.freshness, view.age_s), "muted"),
        lambda view: view.age_s,
    ),
)
"""All columns, in the order they are shown."""

BY_ID: Final = {column.id: column for column in COLUMNS}
SORTABLE: Final = tuple(column.id for column in COLUMNS if column.key is not None)


@dataclass(frozen=True, slots=True)
class Order:
    """How rows are sorted."""

    column: str = "state"
    reverse: bool = False

    def arrow(self) -> str:
        """Return the arrow for the header: whether figures rise or fall down the table."""
        return "▼" if BY_ID[self.column].largest_first is not self.reverse else "▲"

    def by(self, column: str) -> Order:
        """Return the order after asking for a column: the same one again reverses it."""
        return Order(column, column == self.column and not self.reverse)

    def beside(self, step: int) -> Order:
        """Return the order by the column `step` places away."""
        place = (SORTABLE.index(self.column) + step) % len(SORTABLE)
        return Order(SORTABLE[place])


def sort(views: Sequence[DeviceView], order: Order) -> list[DeviceView]:
    """Sort rows; those without a value come last, whatever the direction."""
    column = BY_ID[order.column]
    key = column.key
    assert key is not None, "only sortable columns are offered"
    keyed: list[tuple[float | str, DeviceView]] = []
    unknown: list[DeviceView] = []
    for view in views:
        value = key(view)
        if value is None:
            unknown.append(view)
        else:
            keyed.append((value, view))
    keyed.sort(key=itemgetter(0), reverse=column.largest_first is not order.reverse)
    return [view for _, view in keyed] + unknown


def state_cell(view: DeviceView, glyphs: Glyphs) -> Run:
    """Return a level as shape and word."""
    role = LEVEL_ROLES[view.level]
    return f"{glyphs.shapes[view.level]} {role}", role


def row_role(view: DeviceView) -> str | None:
    """Return the one role of a row that is not live, or `None`."""
    if view.freshness is Freshness.LIVE:
        return None
    return LEVEL_ROLES[view.level] if view.level is not Level.OK else "stale"
