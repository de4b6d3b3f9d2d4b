"""Values become short, safe text."""

from __future__ import annotations

import math
import unicodedata

import pytest
from fleets import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.fleet.levels import Freshness
from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.tui import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "—"),
        (0.0, "0.00"),
        (0.214, "0.21"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1234.5, "1234"),
        (12345.0, "12k"),
        (2_500_000.0, "2.5M"),
    ],
)
def test_figures_keep_about_three_digits(value: float | None, text: str) -> None:
    """A figure is never wider than five cells, and what is no figure is a dash."""
    assert fmt.figure(value) == text


@given(st.floats(0, 1e8))
def test_figures_are_narrow(value: float) -> None:
    """Whatever the value, the table's columns hold it."""
    assert len(fmt.figure(value)) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (12.4, "12s"), (250, "4m10s"), (18_720, "5h12m"), (273_600, "3d4h"), (-5, "0s")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    """An uptime shows its two largest units."""
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (179, "3m"), (7200, "2h"), (2e5, "2d")],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    """An age shows its largest unit."""
    assert fmt.age(seconds) == text


def test_seen_tells_live_stale_and_gone_apart() -> None:
    """The last column says how old a row is."""
    assert fmt.seen(Freshness.LIVE, 0.4) == "live"
    assert fmt.seen(Freshness.STALE, 12) == "12s"
    assert fmt.seen(Freshness.GONE, 185) == "gone 3m"
    assert fmt.seen(Freshness.NEVER, None) == "never"


@pytest.mark.parametrize(
    ("quality", "text"),
    [(Quality.MEASURED, "54"), (Quality.ESTIMATED, "~54"), (Quality.SIMULATED, "54 sim")],
)
def test_readings_say_what_they_are_worth(quality: Quality, text: str) -> None:
    """An estimated reading is marked, and a simulated one too."""
    assert fmt.reading(Reading(value=54.2, quality=quality)) == text


def test_unknown_readings_are_dashes() -> None:
    """A reading without a value never becomes a number."""
    assert fmt.reading(Reading(reason="no sensor")) == "—"
    assert fmt.percent(None) == fmt.whole(None) == fmt.tenth(None) == fmt.megabytes(None) == "—"


def test_other_units() -> None:
    """Shares, limits, counters and sizes have their usual forms."""
    assert fmt.percent(1.234) == "123%"
    assert fmt.percent(1e9) == ">9999%"
    assert fmt.limit(50.0) == "50"
    assert fmt.limit(2.5) == "2.5"
    assert fmt.count(30_600) == "30,600"
    assert fmt.count(1_234_567) == "1.2M"
    assert fmt.count(5_000_000_000) == "5.0G"
    assert fmt.megabytes(187 * 2**20) == "187 MiB"
    assert fmt.megabytes(1500 * 2**20) == "1.5 GiB"
    assert fmt.megabytes(3 * 2**20) == "3.0 MiB"
    assert fmt.tenth(1701.0) == "1701"
    assert fmt.clock(72.9) == "01:12"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_made_safe(text: str) -> None:
    """No control, format or surrogate character survives, and nothing gets long."""
    safe = fmt.escape(text)
    assert all(unicodedata.category(char)[0] != "C" for char in safe)
    assert len(safe) <= 4_000


@given(st.text(max_size=60))
def test_any_text_is_one_safe_line(text: str) -> None:
    """What holds for the known tricks holds for all texts."""
    safe = fmt.escape(text)
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in safe)


def test_escapes_can_be_read() -> None:
    """An operator sees which character was there."""
    assert fmt.escape("a\x1b[31m\u202eb\U000e0001") == "a\\x1b[31m\\u202eb\\U000e0001"


@given(st.text(max_size=40), st.integers(0, 30), st.sampled_from("<>"))
def test_fit_is_exact(text: str, width: int, align: str) -> None:
    """A fitted text takes exactly its cells, wide characters included."""
    assert fmt.width_of(fmt.fit(fmt.escape(text), width, align)) == width


def test_cuts_are_marked() -> None:
    """A cut text ends with an ellipsis."""
    assert fmt.fit("dock-0188", 6) == "dock-…"
    assert fmt.fit("寿司端末", 6) == "寿司… "
    assert fmt.fit("ab", 4, ">") == "  ab"
