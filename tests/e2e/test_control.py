"""The control channel of a real agent: who it is, what it holds, what it is told to do."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from edgeconsole.client import EdgeClient
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import (
    ActivateModel,
    Done,
    EventPush,
    Hello,
    ListModels,
    LoadModel,
    ModelsReply,
    SamplePush,
    Subscribe,
    UnloadModel,
    Unsubscribe,
)


async def test_hello_says_who_the_agent_is(shared_agent):
    """The reply has the id, the protocol version and what the machine says of itself."""
    async with ControlLink(shared_agent.url, shared_agent.token) as link:
        hello = await link.hello()
    assert (hello.agent_id, hello.version) == ("dev-1", 1)
    assert hello.device.compute_units.cpu_cores >= 1
    assert (hello.device.memory_mb or 0) > 0


async def test_a_version_nobody_speaks_is_refused(shared_agent):
    """A console of another protocol gets an error that names both versions."""
    async with ControlLink(shared_agent.url, shared_agent.token) as link:
        with pytest.raises(RequestError, match=r"version 1.*\[7\]"):
            await link.ask(Hello(id="1", client="x", versions=(7,)))


async def test_samples_and_events_are_pushed_to_subscribers(shared_agent):
    """A subscriber gets the past events, then samples that count up, until it unsubscribes."""
    pushes: asyncio.Queue[SamplePush | EventPush] = asyncio.Queue()
    async with ControlLink(shared_agent.url, shared_agent.token, pushes.put_nowait) as link:
        await link.ask(Subscribe(id="1", interval_s=0.1))
        samples, events = [], []
        async with asyncio.timeout(10):
            while len(samples) < 3:
                push = await pushes.get()
                (samples if isinstance(push, SamplePush) else events).append(push)
        await link.ask(Unsubscribe(id="2"))
        while not pushes.empty():
            pushes.get_nowait()
        await link.hello()
        assert pushes.empty()
    seqs = [push.sample.seq for push in samples]
    assert seqs == sorted(set(seqs))
    sample = samples[-1].sample
    assert {model.model for model in sample.models} == {"digits", "digits-tiny"}
    for reading in (sample.temp_c, sample.power_w):
        assert (reading.value is None) == bool(reading.reason)
    assert "agent_started" in {push.event.kind for push in events}


async def test_models_are_listed_loaded_activated_and_unloaded(agents, heldout):
    """Unloading takes a model's answers away, activating brings them back; others are untouched."""
    agent = agents.start(agents.write())
    async with (
        ControlLink(agent.url, agent.token) as link,
        EdgeClient(agent.url, token=agent.token) as client,
    ):

        async def listed():
            reply = await link.ask(ListModels(id=link.next_id()))
            assert isinstance(reply, ModelsReply)
            return {each.model: (each.loaded, each.active) for each in reply.models}

        assert await listed() == {"digits": (True, True), "digits-tiny": (True, True)}
        done = await link.ask(UnloadModel(id="u", model="digits"))
        assert isinstance(done, Done)
        assert await listed() == {"digits": (False, False), "digits-tiny": (True, True)}
        with pytest.raises(RequestError):
            await client.infer("digits", {"image": heldout[0][:1]})
        await link.ask(LoadModel(id="l", model="digits"))
        assert (await listed())["digits"] == (True, False)
        await link.ask(ActivateModel(id="a", model="digits", version="1", variant="fp32"))
        assert (await listed())["digits"] == (True, True)
        assert (await client.infer("digits", {"image": heldout[0][:1]})).variant == "fp32"
        for command in (
            LoadModel(id="x", model="cats"),
            ActivateModel(id="y", model="digits", version="7"),
            UnloadModel(id="z", model="cats"),
        ):
            with pytest.raises(RequestError) as caught:
                await link.ask(command)
            assert caught.value.code is ErrorCode.UNKNOWN_MODEL


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "null",
        '{"type":"fly","id":"7"}',
        '{"type":"status"}',
        b"\x00\x01",
        "[" * 60_000,
        '{"type":"subscribe","id":"7","interval_s":0}',
        '{"type":"status","id":"7","x":1}',
    ],
)
async def test_a_malformed_command_is_answered_and_costs_nothing_else(shared_agent, frame):
    """The reply is `failed` with a code and a sentence; the connection then works."""
    headers = {"Authorization": f"Bearer {shared_agent.token}"}
    async with connect(shared_agent.url + "/v1/control", additional_headers=headers) as connection:
        await connection.send(frame)
        reply = json.loads(await connection.recv())
        assert reply["type"] == "failed"
        assert reply["code"] in ("MALFORMED", "BAD_PARAMETER")
        assert len(reply["error"]) > 10
        await connection.send('{"type":"status","id":"8"}')
        assert json.loads(await connection.recv())["id"] == "8"
