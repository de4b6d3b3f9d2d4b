"""Times as people type them."""

from __future__ import annotations

import pytest

from edgeconsole.durations import duration_text, parse_duration
from edgeconsole.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), (" 1 H ", 3600), ("0.5m", 30)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    """People write times with units, in any case, in one or several parts."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "1h 3", "1e9s", "nan", "٣m٠", "5m!"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    """A number without a unit could be anything."""
    with pytest.raises(ConfigError, match="is not a time") as caught:
        parse_duration(text)
    assert "30m" in caught.value.hint


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 90, 3600, 5400, 86400, 93784])
def test_written_times_are_read_back(seconds: int) -> None:
    """What the form shows can be typed again."""
    assert parse_duration(duration_text(seconds)) == seconds
