"""Orders to the thermal policy of a real agent, and what its history knows of them afterwards."""

from __future__ import annotations

import asyncio

import pytest

from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.service import FleetService
from edgeconsole.protocol.control import ForceThermal, GetStatus
from edgeconsole.protocol.thermal import ThermalState

COOL = """\
agent_id = "dev-1"
state_dir = "state"

[server]
port = {port}

[simulated_heat]
limit_c = 80.0
joules_each = 0.0
"""


@pytest.fixture
def fleet(agents, fleet_file, free_port):
    """Return a cool simulated device whose agent does not run yet, and the file of its fleet."""
    home = agents.write(toml=COOL.format(port=free_port))
    return home, fleet_file(home, free_port)


def said_of(thermal_transitions):
    """Return what the transitions of a `why --json` say, oldest first."""
    return [
        (each["before"], each["after"], each.get("actor", "").split("@")[0] != "")
        for each in reversed(thermal_transitions)
        if each["before"] != each["after"]
    ]


async def test_a_state_is_forced_explained_and_let_go(agents, fleet, run):
    """The device does what the verb says, shows who and until when, and has the last word on how long."""
    agent = await asyncio.to_thread(agents.start, fleet[0])
    code, said = await run(
        "thermal", "dev-1", "--state", "hot", "--for", "10m", "--reason", "the fan is out"
    )
    assert (code, said["devices"][0]["outcome"]) == (0, "acknowledged")
    assert said["line"] == "thermal dev-1 --state hot --for 10m --reason 'the fan is out'"
    async with ControlLink(agent.url, agent.token) as link:
        held = (await link.ask(GetStatus(link.next_id()))).sample.thermal
    assert (held.state, held.cause) == (ThermalState.HOT, "operator")
    assert held.override.actor == said["actor"]
    assert 590.0 < held.override.left_s <= 600.0
    code, said = await run("thermal", "dev-1", "--state", "nominal", "--for", "2h")
    assert (code, said["devices"][0]["outcome"]) == (1, "refused")
    assert "at most 3600 s" in said["devices"][0]["detail"]
    code, said = await run("thermal", "dev-1", "--release", "--reason", "it is back")
    assert code == 0
    code, why = await run("why", "dev-1")
    assert why["heat"]["state"] == "nominal"
    assert "override" not in why["heat"]
    assert said_of(why["thermal_transitions"]) == [
        ("nominal", "hot", True),
        ("hot", "nominal", False),
    ]
    _, audit = await run("audit")
    assert [row["outcome"] for row in reversed(audit["rows"])] == [
        *("queued", "sent", "acknowledged"),
        *("queued", "sent", "refused"),
        *("queued", "sent", "acknowledged"),
    ]


async def test_an_offline_device_gets_it_at_the_next_contact(agents, fleet, run, eventually):
    """Queued while it is off, carried out when it is back; the console and its history know who did it."""
    code, said = await run("thermal", "dev-1", "--state", "warm", "--for", "10m")
    assert (code, said["devices"][0]["outcome"]) == (3, "queued")
    async with FleetService(load_inventory(fleet[1])) as service:
        await eventually(lambda: len(service.store.devices()[0].orders) == 1)
        agent = await asyncio.to_thread(agents.start, fleet[0])

        def forced() -> bool:
            view = service.store.device("dev-1")
            heat = None if view.sample is None else view.sample.thermal
            return heat is not None and heat.override is not None and not view.orders

        await eventually(forced)
        view = service.store.device("dev-1")
        assert view.sample.thermal.state is ThermalState.WARM
        assert view.level is Level.FAILSAFE
        assert f"warm forced by {said['actor']}" in view.level_reason
        await eventually(lambda: any(each.thermal for each in service.store.events("dev-1")))
    await asyncio.to_thread(agent.stop)
    code, why = await run("why", "dev-1")
    assert (code, why["live"]) == (0, False)
    (moved,) = why["thermal_transitions"]
    assert (moved["after"], moved["actor"], moved["simulated"]) == ("warm", said["actor"], True)
    async with FleetService(load_inventory(fleet[1])) as service:
        marked = [each.thermal for each in service.store.events("dev-1") if each.thermal]
        assert [each.actor for each in marked] == [said["actor"]]


async def test_what_nobody_heard_is_in_the_history_later(agents, fleet, run, eventually):
    """A device that nobody listened to, and that was started anew since, tells what its heat did."""
    agent = await asyncio.to_thread(agents.start, fleet[0])
    async with ControlLink(agent.url, agent.token) as link:
        await link.hello()
        words = ("ana", "the fan is out")
        await link.ask(ForceThermal(link.next_id(), "command-1", *words, ThermalState.CRITICAL))
        await link.ask(ForceThermal(link.next_id(), "command-2", *words, None))
    await asyncio.to_thread(agent.stop)
    agent = await asyncio.to_thread(agents.start, fleet[0])
    async with FleetService(load_inventory(fleet[1])) as service:

        async def told() -> bool:
            return len(await service.history.thermal_transitions("dev-1", 9)) == 2

        await eventually(told)
    await asyncio.to_thread(agent.stop)
    code, why = await run("why", "dev-1")
    assert (code, why["live"]) == (0, False)
    assert said_of(why["thermal_transitions"]) == [
        ("nominal", "critical", True),
        ("critical", "nominal", False),
    ]


async def test_a_command_that_comes_twice_is_carried_out_once(agents, fleet):
    """A console that heard no reply sends it again: what another has ordered since stays."""
    agent = await asyncio.to_thread(agents.start, fleet[0])
    async with ControlLink(agent.url, agent.token) as link:
        await link.hello()

        async def order(command_id, state):
            command = ForceThermal(link.next_id(), command_id, "ana", "a test", state)
            return (await link.ask(command)).message

        first = await order("command-1", ThermalState.CRITICAL)
        await order("command-2", None)
        assert await order("command-1", ThermalState.CRITICAL) == first
        now = (await link.ask(GetStatus(link.next_id()))).sample.thermal
        assert (now.state, now.override) == (ThermalState.NOMINAL, None)
