"""The whole operator's side against a small agent: what one console saw, the next one recalls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edgeconsole.errors import StoreError
from edgeconsole.fleet.inventory import Inventory, load_inventory
from edgeconsole.fleet.orders import Intent, OrderKind, Outcome
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import LinkState
from edgeconsole.protocol.control import (
    Command,
    Done,
    EventPush,
    Explain,
    ExplainReply,
    Failed,
    Force,
    GetStatus,
    SamplePush,
    StatusReply,
)
from edgeconsole.protocol.failsafe import RouteConditions, Transition
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import MODEL_ACTIVATED, activated_text
from edgeconsole.protocol.thermal import ThermalState, ThermalTransition

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


async def test_before_and_after_a_switch_survive_a_restart(
    tmp_path: Path,
    small_agent: Any,
    make_sample: Make,
    make_event: Make,
    eventually: Make,
) -> None:
    """The next console knows which bundle answered before, how fast, and with how much memory."""
    behind_s = 3600.0  # The device's clock is not ours.
    start = time.time() - behind_s

    def said(seq: int, variant: str, p99_ms: float) -> SamplePush:
        sample = make_sample(seq, time_unix_s=start + seq)
        figures = {"p50_ms": p99_ms / 2, "p99_ms": p99_ms, "rss_bytes": seq << 20}
        model = replace(sample.models[0], variant=variant, **figures)
        return SamplePush(replace(sample, models=(model,)))

    old, new = "digits/1/fp32", "digits/1/int8"
    told = make_event(
        5,
        kind=MODEL_ACTIVATED,
        message=activated_text(new, "digits"),
        time_unix_s=start + 3.5,
    )
    small_agent.pushes = [*(said(seq, "fp32", 20.0) for seq in (1, 2, 3)), EventPush(told)]
    async with small_agent:
        fleet = inventory(tmp_path, small_agent)
        async with FleetService(fleet) as service:
            await eventually(lambda: service.store.switch("a") is not None)
            live = service.store.switch("a")
    small_agent.pushes = [said(4, "int8", 8.0)]
    async with small_agent, FleetService(fleet) as service:
        await eventually(lambda: service.store.switch("a") is not None)
        found = service.store.switch("a")
    assert (found.before_key, found.after_key) == (live.before_key, live.after_key) == (old, new)
    assert (found.before.p50_ms, found.before.p99_ms) == (10.0, 20.0)
    assert found.before.rss_bytes == live.before.rss_bytes == 2 << 20


async def test_stopping_ends_every_task(tmp_path: Path, small_agent: Any) -> None:
    """After `stop` nothing of the service runs, and the history is closed."""
    async with small_agent:
        service = FleetService(inventory(tmp_path, small_agent))
        async with service:
            await asyncio.wait_for(small_agent.subscribed.get(), 10)
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert {"history", "orders", "link a"} <= names
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not {"history", "orders", "link a"} & names
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


MOVED = Transition("digits", Rung.PRIMARY, Rung.FALLBACK, "breaker_open", 1_750_000_001.0)
WARMED = ThermalTransition(
    ThermalState.NOMINAL, ThermalState.WARM, 0, 1, "operator", 1_750_000_002.0, actor="ana"
)


async def test_an_order_goes_from_the_console_to_the_device(
    tmp_path: Path, small_agent: Any, eventually: Make
) -> None:
    """Ordered while the device is away it waits, is seen to wait, and goes out at the next contact."""
    heard: list[Force] = []

    def answer(command: Command) -> list[Any] | None:
        if not isinstance(command, Force):
            return None
        heard.append(command)
        return [Done(command.id, "forced")]

    small_agent.answer = answer
    async with small_agent:
        fleet = inventory(tmp_path, small_agent)
    intent = Intent("c" * 32, OrderKind.FAILSAFE_ON, "kim@desk", reason="smoke")
    async with FleetService(fleet) as service:
        await service.order(intent, ["a"])
        (view,) = service.store.devices()
        assert [each.outcome for each in view.orders] == [Outcome.QUEUED]
    async with small_agent, FleetService(fleet) as service:
        await eventually(lambda: len(heard) == 1)
        assert heard[0].command_id == intent.command_id

        async def done() -> bool:
            (standing,) = await service.standings(intent.command_id)
            return standing.outcome is Outcome.ACKNOWLEDGED and standing.detail == "forced"

        await eventually(done)
        await eventually(lambda: service.store.devices()[0].orders == ())
        assert [row.outcome.value for row in await service.audit(9)] == [
            "acknowledged",
            "sent",
            "queued",
        ]


async def test_why_is_asked_of_the_device_and_else_found_in_the_history(
    tmp_path: Path, small_agent: Any, make_event: Make, make_sample: Make, eventually: Make
) -> None:
    """While the device is there it explains itself; when it is gone its transitions are still known."""
    conditions = RouteConditions("digits", Rung.FALLBACK, ())

    def answer(command: Command) -> list[Any] | None:
        if isinstance(command, Explain):
            return [ExplainReply(command.id, (MOVED,), (conditions,))]
        return [StatusReply(command.id, make_sample())] if isinstance(command, GetStatus) else None

    small_agent.answer = answer
    small_agent.pushes = [
        EventPush(make_event(5, transition=MOVED)),
        EventPush(make_event(6, thermal=WARMED)),
    ]
    async with small_agent:
        fleet = inventory(tmp_path, small_agent)
        async with FleetService(fleet) as service:
            await eventually(lambda: len(service.store.events("a")) == 2)
            said = await service.explain("a")
            assert (said.live, said.transitions, said.conditions) == (True, (MOVED,), (conditions,))
    async with FleetService(fleet) as service:
        await eventually(lambda: service.store.devices()[0].link is LinkState.WAITING)
        found = await service.explain("a")
        assert (found.live, found.transitions, found.conditions) == (False, (MOVED,), ())
        assert found.thermal_transitions == (WARMED,)
        # A screen's charts have their marks again, too.
        assert [each.thermal for each in service.store.events("a")] == [None, WARMED]
        assert "cannot be reached" in found.note


async def test_an_agent_from_before_the_ladder_is_explained_from_the_history(
    tmp_path: Path, small_agent: Any, eventually: Make
) -> None:
    """What an old agent cannot say is said to be so, and costs nothing else."""
    small_agent.answer = lambda command: (
        [Failed(command.id, "MALFORMED", "not a valid command", "")]
        if isinstance(command, Explain)
        else None
    )
    async with small_agent, FleetService(inventory(tmp_path, small_agent)) as service:
        await eventually(lambda: service.links.get("a") is not None)
        found = await service.explain("a")
        assert (found.live, found.note) == (False, "not a valid command")
