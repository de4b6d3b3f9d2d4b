"""What a real agent does when its workers, its disk or the agent itself are hurt."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest

from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.levels import Freshness
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import LinkState
from edgeconsole.protocol.control import GetStatus, StatusReply
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.specs import AgentState


def wait_until(condition, *, agent, timeout_s=20.0):
    """Look at a condition until it holds; fail with the agent's log if it does not in time."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, agent.log
        time.sleep(0.005)


async def status(agent):
    """Return the agent's sample now."""
    async with ControlLink(agent.url, agent.token) as link:
        reply = await link.ask(GetStatus(id=link.next_id()))
    assert isinstance(reply, StatusReply)
    return reply.sample


def active(sample, model="digits"):
    """Return one model's figures."""
    return next(each for each in sample.models if each.model == model)


async def test_a_killed_worker_is_replaced_and_no_request_is_lost(agents, heldout, eventually):
    """With a worker killed under load every request is answered, within 2 s; the restart is seen."""
    agent = agents.start(agents.write())
    images, labels = heldout
    (pid,) = active(await status(agent)).worker_pids
    async with EdgeClient(agent.url, token=agent.token) as client:

        async def ask(index):
            started = time.monotonic()
            result = await client.infer(
                "digits",
                {"image": images[index : index + 1]},
                deadline_ms=5000,
                allow=Rung.SHED,
            )
            return int(
                result.outputs["logits"].argmax() == labels[index]
            ), time.monotonic() - started

        async with asyncio.TaskGroup() as group:
            tasks = []
            for index in range(150):
                tasks.append(group.create_task(ask(index)))
                if index == 50:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.002)
    right = sum(task.result()[0] for task in tasks)
    assert right >= 147
    assert max(task.result()[1] for task in tasks) < 2.0
    sample = await status(agent)
    model = active(sample)
    assert model.restarts == 1
    assert model.worker_pids != (pid,)
    assert model.answered_total == 150
    assert sample.state in (AgentState.READY, AgentState.PROCESSING)
    assert "worker_lost" in agent.log
    assert "SIGKILL" in agent.log


async def test_a_request_in_the_hands_of_a_killed_worker_goes_to_the_next(
    agents, heldout, eventually
):
    """The request a worker died with is answered by its successor."""
    agent = agents.start(agents.write())
    (pid,) = active(await status(agent)).worker_pids
    os.kill(pid, signal.SIGSTOP)
    async with EdgeClient(agent.url, token=agent.token) as client:
        task = asyncio.create_task(
            client.infer("digits", {"image": heldout[0][:1]}, deadline_ms=5000, allow=Rung.SHED)
        )

        async def in_flight():
            return active(await status(agent)).in_flight == 1

        await eventually(in_flight)
        os.kill(pid, signal.SIGKILL)
        result = await task
    assert int(result.outputs["logits"].argmax()) == heldout[1][0]


async def test_a_hanging_worker_costs_deadlines_not_the_agent(agents, heldout):
    """While a worker hangs requests are refused at their deadline; then it is replaced."""
    agent = agents.start(agents.write(serving="hang_timeout_s = 1.0"))
    (pid,) = active(await status(agent)).worker_pids
    os.kill(pid, signal.SIGSTOP)
    async with EdgeClient(agent.url, token=agent.token) as client:
        started = time.monotonic()
        with pytest.raises(RequestError) as caught:
            await client.infer(
                "digits", {"image": heldout[0][:1]}, deadline_ms=200, allow=Rung.SHED
            )
        assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 1.0
        # The other model has a worker of its own.
        other = await client.infer("digits-tiny", {"image": heldout[0][:1]}, deadline_ms=1000)
        assert other.model == "digits-tiny"
        result = await client.infer(
            "digits", {"image": heldout[0][:1]}, deadline_ms=10_000, allow=Rung.SHED
        )
        assert int(result.outputs["logits"].argmax()) == heldout[1][0]
    assert "worker_hung" in agent.log
    assert not psutil.pid_exists(pid)


async def test_a_crash_loop_is_called_by_its_name_and_still_tried(agents, heldout, eventually):
    """A worker that dies again and again makes the agent's state `error`, with the reason."""
    agent = agents.start(agents.write())

    async def kill_and_look():
        model = active(await status(agent))
        for pid in model.worker_pids:
            if model.state is ModelState.READY:
                os.kill(pid, signal.SIGKILL)
        return model.state is ModelState.FAILED

    await eventually(kill_and_look)
    sample = await status(agent)
    assert sample.state is AgentState.ERROR
    assert "SIGKILL" in sample.reason
    async with EdgeClient(agent.url, token=agent.token) as client:
        with pytest.raises(RequestError) as caught:
            await client.infer("digits", {"image": heldout[0][:1]}, allow=Rung.SHED)
        assert caught.value.code is ErrorCode.DEGRADED_ONLY
        assert (await client.infer("digits", {"image": heldout[0][:1]})).rung is Rung.FALLBACK

        async def answers():
            try:
                await client.infer("digits", {"image": heldout[0][:1]}, allow=Rung.SHED)
            except RequestError:
                return False
            return True

        await eventually(answers)  # It comes back by itself once the worker stays alive.


def test_a_killed_agent_leaves_no_worker_behind(agents):
    """Workers end with their supervisor, even when it had no time to end them."""
    agent = agents.start(agents.write())
    workers = [psutil.Process(pid) for pid in agent.worker_pids()]
    assert len(workers) == 2
    agent.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    assert len(gone) == 2


def test_an_agent_told_to_end_ends_in_order(agents):
    """SIGTERM gives exit code 0, no child left, and says so."""
    agent = agents.start(agents.write())
    workers = [psutil.Process(pid) for pid in agent.worker_pids()]
    assert agent.stop() == 0
    assert not psutil.wait_procs(workers, timeout=1)[1]
    assert "Traceback" not in agent.log
    assert "maintenance" in agent.log


async def test_a_client_outlives_a_restart_of_its_agent(agents, heldout, free_port):
    """Requests sent while the agent is away are answered when it is back."""
    home = agents.write(port=free_port)
    agent = agents.start(home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        await client.infer("digits", {"image": heldout[0][:1]})
        agent.process.kill()
        agent.process.wait(5)
        waiting = asyncio.create_task(
            client.infer("digits", {"image": heldout[0][:1]}, deadline_ms=30_000)
        )
        agents.start(home)
        assert (await waiting).model == "digits"


async def test_the_fleet_sees_an_agent_go_and_return(agents, eventually, free_port, tmp_path):
    """A killed agent turns stale, then gone; restarted it is live again; history has both starts."""
    home = agents.write(port=free_port)
    agent = agents.start(home)
    (tmp_path / "fleet.toml").write_text(
        'name = "t"\nhistory = "history.db"\nstale_after_s = 1.5\ngone_after_s = 2.5\n'
        f'[[devices]]\nid = "dev-1"\nurl = "{agent.url}"\ntoken_file = "{agent.token_file}"\n'
    )
    inventory = load_inventory(tmp_path / "fleet.toml")
    async with FleetService(inventory) as fleet:

        def freshness(wanted):
            return lambda: fleet.store.device("dev-1").freshness is wanted

        await eventually(freshness(Freshness.LIVE))
        first = fleet.store.device("dev-1").sample.boot_id
        agent.process.kill()
        await eventually(freshness(Freshness.STALE))
        await eventually(freshness(Freshness.GONE))
        view = fleet.store.device("dev-1")
        assert view.link in (LinkState.WAITING, LinkState.CONNECTING)
        assert view.sample is not None  # The last known values stay visible.
        agents.start(home)
        await eventually(freshness(Freshness.LIVE))
        assert fleet.store.device("dev-1").sample.boot_id != first
    async with FleetService(inventory) as again:
        kinds = [event.kind for event in again.store.events("dev-1")]
        assert kinds.count("agent_started") == 2
        assert again.store.points("dev-1")


def damage(home):
    """Flip a bit in the stored primary model; returns how many files that hit."""
    damaged = 0
    for file in (home / "state" / "models" / "bundles").glob("*/model.onnx"):
        if file.stat().st_size > 50_000:  # The primary.
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 0xFF
            file.chmod(0o600)
            file.write_bytes(data)
            damaged += 1
    return damaged


async def test_a_damaged_model_is_said_and_the_rest_serves(agents, heldout):
    """A stored model that changed on disk is never served; the agent lives and says why."""
    home = agents.write()
    agents.start(home).stop()
    assert damage(home) == 1
    file = home / "device.toml"
    file.write_text(file.read_text().replace(f'bundle = "{bundle_path("digits")}"\n', "", 1))
    agent = agents.start(home)
    sample = await status(agent)
    assert sample.state is AgentState.ERROR
    assert "digits" in sample.reason
    assert "model.onnx" in sample.reason
    async with EdgeClient(agent.url, token=agent.token) as client:
        assert (await client.infer("digits-tiny", {"image": heldout[0][:1]})).model == "digits-tiny"
        instead = await client.infer("digits", {"image": heldout[0][:1]})
        assert (instead.model, instead.rung, instead.degraded) == (
            "digits-tiny",
            Rung.FALLBACK,
            True,
        )
        with pytest.raises(RequestError) as caught:
            await client.infer("digits", {"image": heldout[0][:1]}, allow=Rung.SHED)
        assert caught.value.code is ErrorCode.DEGRADED_ONLY


async def test_a_damaged_model_is_taken_in_again_where_its_bundle_is_at_hand(agents, heldout):
    """A stored model that changed on disk is replaced at start from the bundle the file names."""
    home = agents.write()
    agents.start(home).stop()
    assert damage(home) == 1
    agent = agents.start(home)
    assert (await status(agent)).state is not AgentState.ERROR
    async with EdgeClient(agent.url, token=agent.token) as client:
        result = await client.infer("digits", {"image": heldout[0][:1]})
    assert int(result.outputs["logits"].argmax()) == heldout[1][0]


async def test_a_flood_of_half_open_connections_leaves_room(shared_agent, heldout):
    """200 sockets that never finish their handshake do not keep a client out."""
    host, port = shared_agent.url.removeprefix("ws://").split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
    try:
        async with EdgeClient(shared_agent.url, token=shared_agent.token) as client:
            await client.infer("digits", {"image": heldout[0][:1]})
    finally:
        for _, writer in idle:
            writer.close()


async def test_a_worker_above_its_memory_limit_is_replaced(agents, eventually):
    """A worker that uses more than `memory_requirement_mb` is ended, and the event says so."""
    home = agents.write()
    file = home / "device.toml"
    file.write_text(
        file.read_text().replace(
            'model_id = "digits"', 'model_id = "digits"\nmemory_requirement_mb = 16', 1
        )
    )
    agent = agents.start(home)
    await eventually(lambda: "worker_over_memory: digits/1/fp32" in agent.log)
    assert "limit 16 MiB" in agent.log


def test_an_agent_told_to_end_while_it_loads_ends(agents):
    """SIGTERM during a start that hangs ends the agent in order, within seconds."""
    home = agents.write()
    agent = agents.start(home, wait=False)
    wait_until(lambda: len(agent.worker_pids()) == 2, agent=agent)
    for pid in agent.worker_pids():
        os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - started < 12
