"""Orders from the operator to a real agent: at once, after an outage, from several consoles."""

from __future__ import annotations

import asyncio

import pytest

from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.orders import Intent, OrderKind, Outcome
from edgeconsole.fleet.service import FleetService
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.inference import Rung


@pytest.fixture
def fleet(agents, fleet_file, free_port):
    """Return an agent that does not run yet, on a port of its own, and the file of its fleet."""
    home = agents.write(port=free_port)
    return home, fleet_file(home, free_port)


async def test_a_fallback_is_forced_explained_and_released(agents, fleet, run):
    """The device does what the verb says, explains it with the operator's words, and comes back."""
    agents.start(fleet[0])
    code, said = await run(
        *["fallback", "on", "dev-1", "--model", "digits", "--for", "10m"],
        *["--reason", "smoke in hall 2"],
    )
    assert (code, said["devices"][0]["outcome"]) == (0, "acknowledged")
    code, why = await run("why", "dev-1", "--model", "digits")
    (route,) = why["routes"]
    assert (route["rung"], route["override"]["reason"]) == ("fallback", "smoke in hall 2")
    assert route["override"]["command_id"] == said["command_id"]
    moved = why["transitions"][0]
    assert (moved["before"], moved["after"]) == ("primary", "fallback")
    assert {"operator"} <= {each["name"] for each in moved["conditions"] if each.get("met")}
    code, said = await run("release", "dev-1")
    assert code == 0
    code, why = await run("why", "dev-1", "--model", "digits")
    assert "override" not in why["routes"][0] or why["routes"][0]["override"] is None
    _, audit = await run("audit")
    assert [row["outcome"] for row in audit["rows"]] == ["acknowledged", "sent", "queued"] * 2


async def test_an_unknown_model_is_refused_by_the_device(agents, fleet, run):
    """The device's own sentence is in the report and in the audit; exit code 1."""
    agents.start(fleet[0])
    code, said = await run("failsafe", "on", "dev-1", "--model", "cats")
    assert (code, said["devices"][0]["outcome"]) == (1, "refused")
    assert "cats" in said["devices"][0]["detail"]
    _, audit = await run("audit")
    assert audit["rows"][0]["outcome"] == "refused"


async def test_an_offline_device_gets_it_at_the_next_contact(agents, fleet, run, eventually):
    """Ordered while it is off: queued, seen to be queued, carried out when it is back, and known after."""
    code, said = await run("failsafe", "on", "dev-1", "--reason", "smoke")
    assert (code, said["devices"][0]["outcome"]) == (3, "queued")
    async with FleetService(load_inventory(fleet[1])) as service:
        await eventually(lambda: len(service.store.devices()[0].orders) == 1)
        agent = await asyncio.to_thread(agents.start, fleet[0])

        def forced() -> bool:
            view = service.store.device("dev-1")
            if view.sample is None or view.route is None or view.route.override is None:
                return False
            return view.route.override.command_id == said["command_id"] and not view.orders

        await eventually(forced)
        view = service.store.device("dev-1")
        assert view.level is Level.FAILSAFE
        assert view.route.override.kind is OverrideKind.FAILSAFE
        assert "forced by" in view.level_reason
        await eventually(lambda: any(each.transition for each in service.store.events("dev-1")))
        await service.history.flush()
    agent.stop()
    code, why = await run("why", "dev-1", "--model", "digits")
    assert (code, why["live"]) == (0, False)
    assert "cannot be reached" in why["note"]
    assert why["transitions"][0]["actor"] == view.route.override.actor
    assert why["transitions"][0]["before"] == Rung.PRIMARY


async def test_of_several_consoles_one_sends(agents, fleet, eventually):
    """Three consoles on one history, all connected: each order reaches the device once."""
    agents.start(fleet[0])
    services = [FleetService(load_inventory(fleet[1])) for _ in range(3)]
    for service in services:
        await service.start()
    try:
        await eventually(lambda: all(each.links.get("dev-1") for each in services))
        intents = [
            Intent(f"{place:032}", kind, "kim@desk", reason="drill")
            for place, kind in enumerate((OrderKind.FALLBACK_ON, OrderKind.RELEASE) * 5)
        ]
        for place, intent in enumerate(intents):
            await services[place % 3].order(intent, ["dev-1"])

        async def settled() -> bool:
            found = [await services[0].standings(intent.command_id) for intent in intents]
            return all(each.outcome is Outcome.ACKNOWLEDGED for (each,) in found)

        await eventually(settled)
        rows = await services[0].audit(999)
        sent = [row.command_id for row in reversed(rows) if row.outcome is Outcome.SENT]
        assert sent == [intent.command_id for intent in intents]
    finally:
        for service in services:
            await service.stop()
