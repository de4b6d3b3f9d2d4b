"""Real agents while no console runs: what they kept fills the charts of the next one."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys

import pytest

from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.service import FleetService
from edgeconsole.protocol.backlog import unpack
from edgeconsole.protocol.control import Backfill, BackfillReply, SamplePush, Subscribe
from edgeconsole.protocol.figures import figures_of


@pytest.fixture
def fleet(agents, tmp_path, free_port):
    """Return an agent that does not run yet, on a port of its own, and the file of its fleet."""
    home = agents.write(port=free_port)
    file = tmp_path / "fleet.toml"
    file.write_text(
        f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "ws://127.0.0.1:{free_port}"\n'
        f'token_file = "{home}/state/token"\n'
    )
    return home, file


async def seconds_kept(agent):
    """Return how many samples a stranger to the agent could fetch."""
    async with ControlLink(agent.url, agent.token) as link:
        reply = await link.ask(Backfill("1", "a-stranger-who-asks"))
        assert isinstance(reply, BackfillReply)
        return sum(len(unpack(each.data).samples) for each in reply.blocks)


def longest_hole_s(points):
    """Return the longest time between two points of a chart."""
    return max(after.at - before.at for before, after in itertools.pairwise(points))


def widest_gap_s(database):
    """Return the longest time between two samples in a history."""
    connection = sqlite3.connect(database)
    try:
        (found,) = connection.execute(
            "SELECT max(gap) FROM (SELECT time_unix_s - lag(time_unix_s) "
            "OVER (ORDER BY time_unix_s) AS gap FROM sample)"
        ).fetchone()
    finally:
        connection.close()
    return found


CONSOLE = """
import asyncio, pathlib, sys
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.service import FleetService

async def main():
    async with FleetService(load_inventory(pathlib.Path(sys.argv[1]))) as service:
        while len(service.store.points("dev-1")) < 3:
            await asyncio.sleep(0.02)
        print("seen", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def look_and_be_killed(fleet_file):
    """Run a console until it has seen a device, then kill it."""
    command = [sys.executable, "-c", CONSOLE, fleet_file]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as console:
        assert console.stdout.readline() == b"seen\n"
        console.kill()


async def test_a_chart_is_whole_after_nobody_looked(agents, fleet, tmp_path, eventually):
    """A console is killed, and the next one draws the time between as if it had looked."""
    agent = await asyncio.to_thread(agents.start, fleet[0])
    inventory = load_inventory(fleet[1])
    await asyncio.to_thread(look_and_be_killed, fleet[1])
    before = await seconds_kept(agent)

    async def passed() -> bool:
        return await seconds_kept(agent) >= before + 6

    await eventually(passed)
    async with FleetService(inventory) as service:

        def whole() -> bool:
            points = service.store.points("dev-1")
            return len(points) > before + 6 and longest_hole_s(points) < 2.0

        await eventually(whole)
        assert not service.problem
        kinds = [event.kind for event in service.store.events("dev-1")]
        assert kinds.count("agent_started") == 1
    assert await asyncio.to_thread(widest_gap_s, tmp_path / "h.db") < 2.0


async def test_consoles_and_the_backlog_get_the_same_samples(agents, fleet):
    """A second of a device is one sample, whoever hears of it: in a history it is one row."""
    agent = await asyncio.to_thread(agents.start, fleet[0])
    heard = [asyncio.Queue(), asyncio.Queue()]
    async with (
        ControlLink(agent.url, agent.token, heard[0].put_nowait) as one,
        ControlLink(agent.url, agent.token, heard[1].put_nowait) as other,
    ):
        await one.ask(Subscribe("s", interval_s=1.0))
        await other.ask(Subscribe("s", interval_s=1.0))
        found = []
        async with asyncio.timeout(20):
            for queue in heard:
                samples = {}
                while len(samples) < 4:
                    push = await queue.get()
                    if isinstance(push, SamplePush):
                        samples[push.sample.seq] = push.sample
                found.append(samples)
        reply = await one.ask(Backfill("1", "a-stranger-who-asks"))
    shared = found[0].keys() & found[1].keys()
    assert len(shared) >= 3
    kept = {each.seq: each for block in reply.blocks for each in unpack(block.data).samples}
    for seq in shared:
        assert found[0][seq] == found[1][seq]
        assert kept[seq] == figures_of(found[0][seq])


async def test_what_an_agent_kept_outlives_it(agents, fleet, eventually):
    """Nobody looked, the agent was killed and started again: the time before is in the chart."""
    agent = await asyncio.to_thread(agents.start, fleet[0])

    async def kept() -> bool:
        return await seconds_kept(agent) >= 5  # Asking makes it durable.

    await eventually(kept)
    agent.process.kill()
    await asyncio.to_thread(agent.process.wait)
    await asyncio.to_thread(agents.start, fleet[0])
    async with FleetService(load_inventory(fleet[1])) as service:

        def both_starts() -> bool:
            kinds = [event.kind for event in service.store.events("dev-1")]
            return kinds.count("agent_started") == 2

        await eventually(both_starts)
        assert len(service.store.points("dev-1")) >= 5
