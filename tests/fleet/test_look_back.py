"""Longer times for charts: read when they are wanted, off the loop, on the console's clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.fleet import database, late
from edgeconsole.fleet.late import LateBlock
from edgeconsole.fleet.look_back import LookBack
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.backlog import Block
from edgeconsole.protocol.figures import figures_of
from edgeconsole.specs import FleetDevice, FleetSpec

Make = Callable[..., Any]
HOUR_S = 3600.0


@pytest.fixture
def history(tmp_path: Path, make_sample: Make) -> Path:
    """Return a history with a minute of a device."""
    path = tmp_path / "history.db"
    database.make(path)
    samples = [make_sample(seq, time_unix_s=1_750_000_000.0 + seq) for seq in range(60)]
    late.write(path, "a", [LateBlock("boot-1", 60, Block(tuple(map(figures_of, samples))))])
    return path


async def test_what_is_wanted_is_read_and_read_again(
    history: Path, clock: Any, make_sample: Make
) -> None:
    """Points stand where the device's clock says, also if that is years behind; then less often."""
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)), clock)
    store.add_sample("a", make_sample(60, time_unix_s=1_750_000_060.0))
    look_back = LookBack(history, store)
    await look_back.look()
    assert store.wanted is None
    assert store.past("a", HOUR_S) is None
    await look_back.look()
    points = store.past("a", HOUR_S)
    assert points is not None
    assert [point.at for point in points] == [clock.now - 60 + seq for seq in range(60)]
    await look_back.look()
    assert store.past("a", HOUR_S) is points
    clock.now += 10.0
    await look_back.look()
    again = store.past("a", HOUR_S)
    assert again is not None
    assert again is not points
    assert again[0].at == points[0].at
    store.forget_past()
    await look_back.look()
    assert store.past("a", HOUR_S) is None


async def test_a_history_that_cannot_be_read_is_a_problem(tmp_path: Path, clock: Any) -> None:
    """It says so and ends nothing."""
    (tmp_path / "history.db").write_bytes(b"no database" * 100)
    store = FleetStore(FleetSpec(devices=(FleetDevice("a", "ws://x"),)), clock)
    store.past("a", HOUR_S)
    look_back = LookBack(tmp_path / "history.db", store)
    await look_back.look()
    assert "not a database" in look_back.problem
