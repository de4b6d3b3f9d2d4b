"""The whole operator's side against a small agent: what one console saw, the next one recalls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.errors import StoreError
from edgeconsole.fleet.inventory import Inventory, load_inventory
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import LinkState
from edgeconsole.protocol.control import EventPush, SamplePush

Make = Callable[..., Any]


def inventory(tmp_path: Path, small_agent: Any) -> Inventory:
    """Write the fleet of one agent."""
    (tmp_path / "token").write_text(small_agent.token)
    file = tmp_path / "fleet.toml"
    file.write_text(
        f'history = "h.db"\n[[devices]]\nid = "a"\nurl = "{small_agent.url}"\n'
        'token_file = "token"\n'
    )
    return load_inventory(file)


async def test_the_next_console_recalls_what_this_one_saw(
    tmp_path: Path, small_agent: Any, make_sample: Make, make_event: Make, eventually: Make
) -> None:
    """Samples and events are shown live, kept, and back in the charts after a restart."""
    now_s = time.time()
    small_agent.pushes = [
        SamplePush(make_sample(1, time_unix_s=now_s - 30)),
        SamplePush(make_sample(2, time_unix_s=now_s - 20)),
        EventPush(make_event(5, time_unix_s=now_s)),
    ]
    async with small_agent:
        fleet = inventory(tmp_path, small_agent)
        async with FleetService(fleet) as service:
            await eventually(lambda: len(service.store.events("a")) == 1)
            (view,) = service.store.devices()
            assert (view.link, view.sample.seq) == (LinkState.LIVE, 2)
    async with FleetService(fleet) as service:
        points = service.store.points("a")
        ages_s = [service.store.clock() - point.at for point in points]
        assert ages_s == pytest.approx([30, 20], abs=5)
        assert service.store.last_event("a") == ("boot-1", 5)
        assert service.store.devices()[0].sample is None


async def test_stopping_ends_every_task(tmp_path: Path, small_agent: Any) -> None:
    """After `stop` nothing of the service runs, and the history is closed."""
    async with small_agent:
        service = FleetService(inventory(tmp_path, small_agent))
        async with service:
            await asyncio.wait_for(small_agent.subscribed.get(), 10)
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert {"history", "link a"} <= names
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not {"history", "link a"} & names
        assert not service.history.is_open


async def test_an_unusable_history_is_said_before_anything_starts(
    tmp_path: Path, small_agent: Any
) -> None:
    """A history that cannot be used is an error at the start, and no link is left running."""
    async with small_agent:
        service = FleetService(inventory(tmp_path, small_agent))
        service.history.path.write_bytes(b"no database" * 100)
        with pytest.raises(StoreError):
            await service.start()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("link")]
