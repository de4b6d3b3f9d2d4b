"""A real agent on a simulated device that gets hot by its own work, and cools when the room does."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.why import explain_live
from edgeconsole.protocol.control import Done, ForceThermal, GetStatus
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.protocol.thermal import ThermalState

HOT = """\
agent_id = "hot"
state_dir = "state"

[server]
port = 0

[simulated_heat]
limit_c = 75.0
ambient_c = {ambient_c}
joules_each = {joules}
most_w = 14.0
die_tau_s = 8.0
sink_tau_s = 60.0
time_scale = 20.0

[[models]]
model_id = "digits"
bundle = "{digits}"
deadline_ms = 500.0
fallback_models = ["digits-tiny"]

[[models]]
model_id = "digits-tiny"
bundle = "{tiny}"
deadline_ms = 500.0
"""
DEMAND_PER_S = 60.0


def start(agents, *, ambient_c=25.0, joules=0.2):
    """Start an agent on a simulated device."""
    toml = HOT.format(
        ambient_c=ambient_c,
        joules=joules,
        digits=bundle_path("digits"),
        tiny=bundle_path("digits-tiny"),
    )
    return agents.start(agents.write("hot", toml=toml))


async def load(client, image, until, rungs, refused):
    """Ask for `DEMAND_PER_S` images a second until an event."""

    async def ask():
        try:
            result = await client.infer("digits", {"image": image}, deadline_ms=500.0)
        except RequestError as error:
            refused.append(error)
        else:
            rungs.append(result.rung)

    begun_s = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            if until.is_set():
                return
            tasks.create_task(ask())
            await asyncio.sleep(max(0.0, begun_s + number / DEMAND_PER_S - time.monotonic()))


async def sample(link):
    """Return the device as it is now."""
    return (await link.ask(GetStatus(link.next_id()))).sample


async def test_it_warms_steps_down_and_recovers(agents, heldout, eventually) -> None:
    """Load heats it: warm, hot, a governed rate below the limit; without load it is nominal again.

    Every value says that it is simulated, every refusal when to come again, every step why.
    """
    agent = start(agents)
    image = heldout[0][:1]
    async with (
        EdgeClient(agent.url, token=agent.token) as client,
        ControlLink(agent.url, agent.token) as link,
    ):
        await link.hello()
        over, rungs, refused, seen = asyncio.Event(), [], [], []

        async def has(state):
            now = await sample(link)
            seen.append(now)
            return now.thermal.state is state

        loading = asyncio.create_task(load(client, image, over, rungs, refused))
        await eventually(lambda: has(ThermalState.HOT))
        await eventually(lambda: any(each.code is ErrorCode.THROTTLED for each in refused))
        over.set()
        await loading
        await eventually(lambda: has(ThermalState.NOMINAL))
        said = await explain_live(link, "hot")

    hot = next(each for each in seen if each.thermal.state is ThermalState.HOT)
    assert hot.thermal.allowance.rate_per_s < 1000.0
    assert hot.thermal.simulated
    assert (hot.temp_c.quality, hot.power_w.quality) == (Quality.SIMULATED, Quality.SIMULATED)
    assert hot.thermal.limit_source == "passive trip"
    assert max(each.thermal.temp_c for each in seen) <= 77.0
    throttled = [each for each in refused if each.code is ErrorCode.THROTTLED]
    assert all(each.estimated_wait_ms > 0.0 for each in throttled)
    assert "°C, limit 75 °C" in throttled[0].message
    states = [each.after for each in reversed(said.thermal_transitions)]
    order = [ThermalState.WARM, ThermalState.HOT, ThermalState.WARM, ThermalState.NOMINAL]
    remaining = iter(states)
    assert all(any(state is wanted for state in remaining) for wanted in order), states
    for each in said.thermal_transitions:
        assert each.simulated
        assert each.conditions
    first = said.thermal_transitions[-1]
    met = next(each for each in first.conditions if each.name == first.cause)
    assert met.met
    assert met.measured >= met.threshold
    assert any(each.cause == "hot" for each in said.transitions)


async def test_too_hot_to_idle_is_refused_with_a_time(agents, heldout, eventually) -> None:
    """A device that idles above its limit refuses all, says why and when, and goes on being watched."""
    agent = start(agents, ambient_c=70.0)
    image = heldout[0][:1]
    async with (
        EdgeClient(agent.url, token=agent.token) as client,
        ControlLink(agent.url, agent.token) as link,
    ):
        await link.hello()

        async def stopped():
            return all(route.rung is Rung.STOP for route in (await sample(link)).routes)

        await eventually(stopped)
        for version in ("", "1"):
            with pytest.raises(RequestError, match="too hot") as caught:
                await client.infer("digits", {"image": image}, version=version)
            assert caught.value.code is ErrorCode.SAFE_STOP
            assert caught.value.estimated_wait_ms >= 1000.0
        said = await explain_live(link, "hot")
        assert said.routes[0].cause == "critical_heat"
        assert said.heat.state is ThermalState.CRITICAL
        assert (await sample(link)).thermal.allowance.refuse


async def test_an_operator_cools_a_device(agents, heldout, eventually) -> None:
    """A forced state reaches serving at once, is shown with its actor, and ends when it is ended."""
    agent = start(agents, joules=0.0)
    image = heldout[0][:1]
    async with (
        EdgeClient(agent.url, token=agent.token) as client,
        ControlLink(agent.url, agent.token) as link,
    ):
        await link.hello()
        await client.infer("digits", {"image": image})
        order = ForceThermal(
            link.next_id(), "command-1", "ana", "the fan is out", ThermalState.CRITICAL, 600.0
        )
        reply = await link.ask(order)
        assert isinstance(reply, Done)
        held = (await sample(link)).thermal
        assert (held.state, held.cause, held.override.actor) == (
            ThermalState.CRITICAL,
            "operator",
            "ana",
        )

        async def refused():
            try:
                await client.infer("digits", {"image": image})
            except RequestError as error:
                return error.code is ErrorCode.SAFE_STOP and "ana: the fan is out" in error.message
            return False

        await eventually(refused)
        await link.ask(ForceThermal(link.next_id(), "command-2", "ana", "it is back", None))

        async def answered():
            try:
                await client.infer("digits", {"image": image})
            except RequestError:
                return False
            return True

        await eventually(answered)
