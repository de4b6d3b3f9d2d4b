"""The failsafe ladder in a real agent: faults under its clients' eyes, and orders of operators."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import numpy as np
import pytest

from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import (
    Done,
    EventPush,
    Explain,
    ExplainReply,
    Force,
    GetStatus,
    Release,
    StatusReply,
    Subscribe,
)
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.specs import AgentState

DIGITS = """\
agent_id = "dev-1"
state_dir = "state"
[server]
port = 0
{agent}
[[models]]
model_id = "digits"
bundle = "{digits}"
deadline_ms = 1000.0
{model}
[models.failsafe]
self_test_s = 1.0
{failsafe}
"""
TINY = """
[[models]]
model_id = "digits-tiny"
bundle = "{tiny}"
deadline_ms = 1000.0
{more}
"""
STATIC = "static_answer = { logits = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0] }"


def toml(*, agent="", model="", failsafe="", tiny=None):
    """Return a `device.toml`: digits, and digits-tiny with more keys if it is to be there."""
    text = DIGITS.format(digits=bundle_path("digits"), agent=agent, model=model, failsafe=failsafe)
    if tiny is not None:
        text += TINY.format(tiny=bundle_path("digits-tiny"), more=tiny)
    return text


WITH_FALLBACK = toml(model='fallback_models = ["digits-tiny"]', tiny="")


async def status(agent):
    """Return the agent's sample now."""
    async with ControlLink(agent.url, agent.token) as link:
        reply = await link.ask(GetStatus(id=link.next_id()))
    assert isinstance(reply, StatusReply)
    return reply.sample


async def route(agent, model="digits"):
    """Return one model's route now."""
    return next(each for each in (await status(agent)).routes if each.model == model)


def on(sample, rung):
    """Return one rung of a route."""
    return next(each for each in sample.rungs if each.rung is rung)


async def order(agent, command, **fields):
    """Send an operator's command; returns the reply's sentence."""
    async with ControlLink(agent.url, agent.token) as link:
        reply = await link.ask(command(id=link.next_id(), actor="kim", **fields))
    assert isinstance(reply, Done)
    return reply.message


async def force(agent, kind, number=1, **fields):
    """Force a rung for an hour."""
    given = {"reason": "a test", "for_s": 3600.0, "command_id": f"force-{number:04}", **fields}
    return await order(agent, Force, kind=kind, **given)


async def release(agent, number=1, **fields):
    """Release what is forced."""
    return await order(agent, Release, command_id=f"release-{number:04}", reason="done", **fields)


async def test_a_stopped_worker_costs_no_deadline(agents, heldout, eventually):
    """With the worker stopped, a client that asks with 50 ms gets labelled answers in time, and the
    device returns to the primary by itself once the worker goes on or was replaced.
    """
    images, _ = heldout
    agent = agents.start(agents.write(toml=WITH_FALLBACK))
    answers: list[tuple[float, object, float]] = []
    stop = False

    async def ask(client):
        index = 0
        while not stop:
            index = (index + 1) % len(images)
            result = await client.infer(
                "digits", {"image": images[index : index + 1]}, deadline_ms=50
            )
            answers.append((time.monotonic(), result, result.timing.total_ms))
            await asyncio.sleep(0.005)

    async with EdgeClient(agent.url, token=agent.token) as client:
        asking = asyncio.create_task(ask(client))

        async def settled():
            assert not asking.done(), asking.result()
            return len(answers) > 20

        await eventually(settled)
        before = await route(agent)
        first = next(
            each.worker_pids[0] for each in (await status(agent)).models if each.model == "digits"
        )
        os.kill(first, signal.SIGSTOP)
        stopped_s = time.monotonic()

        async def fell():
            assert not asking.done(), asking.result()
            return (await route(agent)).rung is Rung.FALLBACK

        await eventually(fell)
        fell_s = time.monotonic() - stopped_s

        async def back():
            assert not asking.done(), asking.result()
            return answers[-1][0] > stopped_s + fell_s and answers[-1][1].rung is Rung.PRIMARY

        await eventually(back)
        stop = True
        await asking
    assert before.rung is Rung.PRIMARY
    assert fell_s < 2.0
    during = [result for at_s, result, _ in answers if stopped_s < at_s < stopped_s + fell_s]
    assert during
    assert {result.rung for result in during} <= {Rung.FALLBACK, Rung.PRIMARY}
    for _, result, total_ms in answers:
        assert result.degraded == (result.rung is Rung.FALLBACK)
        assert result.model == ("digits-tiny" if result.degraded else "digits")
        assert total_ms <= 52.0
    after = await route(agent)
    assert after.hedged_total >= 1
    assert after.answers["fallback"] + after.answers["primary"] == len(answers)
    assert answers[-1][1].rung is Rung.PRIMARY
    async with ControlLink(agent.url, agent.token) as link:
        reply = await link.ask(Explain(link.next_id(), "digits"))
    assert isinstance(reply, ExplainReply)
    up, down = reply.transitions[0], reply.transitions[-1]
    assert (down.before, down.after) == (Rung.PRIMARY, Rung.FALLBACK)
    assert down.cause in ("primary_stalled", "breaker_open")
    assert [each for each in down.conditions if each.met and each.name != "fallback_available"]
    assert (up.after, up.cause) == (Rung.PRIMARY, "recovered")
    climb = next(each for each in up.conditions if each.name == "better_rung")
    assert climb.held_s >= climb.needed_s >= 2.0


async def test_allow_refuses_what_is_degraded(agents, heldout):
    """A client that accepts only the primary gets a typed refusal where others get the fallback."""
    agent = agents.start(agents.write(toml=WITH_FALLBACK))
    image = {"image": heldout[0][:1]}
    await force(agent, OverrideKind.FALLBACK)
    async with EdgeClient(agent.url, token=agent.token) as client:
        for allow in (None, Rung.FALLBACK, Rung.STATIC):
            result = await client.infer("digits", image, allow=allow)
            assert (result.rung, result.model, result.degraded, result.failsafe) == (
                Rung.FALLBACK,
                "digits-tiny",
                True,
                False,
            )
        for allow in (Rung.PRIMARY, Rung.SHED, Rung.PEER):
            with pytest.raises(RequestError, match="stands on fallback") as caught:
                await client.infer("digits", image, allow=allow)
            assert caught.value.code is ErrorCode.DEGRADED_ONLY


async def test_an_override_survives_a_restart(agents, heldout, eventually):
    """What an operator forced holds through kill -9 and counts once; released, the device climbs."""
    home = agents.write(toml=toml(failsafe=STATIC))
    agent = agents.start(home)
    said = await force(agent, OverrideKind.FAILSAFE)
    agent.process.kill()
    agent.process.wait(5)
    agent = agents.start(home)
    image = {"image": heldout[0][:2]}
    async with EdgeClient(agent.url, token=agent.token) as client:
        result = await client.infer("digits", image)
        assert (result.rung, result.degraded, result.failsafe) == (Rung.STATIC, True, True)
        assert result.outputs["logits"].tolist() == [[9.0] + [0.0] * 9] * 2
        held = (await route(agent)).override
        assert (held.kind, held.actor, held.reason) == (OverrideKind.FAILSAFE, "kim", "a test")
        assert 3500 < held.until_unix_s - time.time() <= 3600
        assert await force(agent, OverrideKind.FAILSAFE) == said
        assert "released" in await release(agent)
        assert "in force" in await force(
            agent, OverrideKind.FAILSAFE
        )  # What it did the first time.

        async def back():
            return (await client.infer("digits", image)).rung is Rung.PRIMARY

        await eventually(back)
    assert (await route(agent)).override is None


async def test_maintenance_drains_then_refuses(agents, heldout, eventually):
    """In maintenance new requests are refused with who and why; the state says so, and it ends."""
    agent = agents.start(agents.write(toml=WITH_FALLBACK))
    image = {"image": heldout[0][:1]}
    await force(agent, OverrideKind.MAINTENANCE, for_s=2.0)
    sample = await status(agent)
    assert sample.state is AgentState.MAINTENANCE
    assert sample.reason == "kim: a test (drained)"
    async with EdgeClient(agent.url, token=agent.token) as client:
        for version in ("", "1"):
            with pytest.raises(RequestError, match="a test") as caught:
                await client.infer("digits", image, version=version)
            assert caught.value.code is ErrorCode.SAFE_STOP

        async def over():
            return (await status(agent)).state in (AgentState.READY, AgentState.PROCESSING)

        await eventually(over)

        async def answers():
            return (await client.infer("digits", image)).rung is Rung.PRIMARY

        await eventually(answers)
    await eventually(lambda: "override_ended" in agent.log)


async def test_transitions_are_pushed_with_their_conditions(agents, eventually):
    """A subscriber gets each move as an event that holds what a console stores."""
    agent = agents.start(agents.write(toml=WITH_FALLBACK))
    events = []

    def take(push):
        if isinstance(push, EventPush) and push.event.transition is not None:
            events.append(push.event)

    async with ControlLink(agent.url, agent.token, take) as link:
        await link.hello()
        await link.ask(Subscribe(link.next_id()))
        await force(agent, OverrideKind.FALLBACK, model="digits")
        await eventually(lambda: bool(events))
    (event,) = events
    move = event.transition
    assert event.kind == "rung_changed"
    assert (move.model, move.before, move.after) == ("digits", Rung.PRIMARY, Rung.FALLBACK)
    assert (move.cause, move.actor, move.reason) == ("operator", "kim", "a test")
    assert move.time_unix_s == pytest.approx(time.time(), abs=60)
    assert next(each for each in move.conditions if each.name == "operator").met


async def test_orders_for_models_that_are_not_there_are_refused(shared_agent):
    """A slip in a name forces nothing."""
    with pytest.raises(RequestError, match="models: digits, digits-tiny") as caught:
        await force(shared_agent, OverrideKind.FAILSAFE, model="digit")
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def damage(home, least=50_000):
    """Flip a bit in each stored model above a size; returns how many that hit."""
    count = 0
    for file in (home / "state" / "models" / "bundles").glob("*/model.onnx"):
        if file.stat().st_size > least:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 0xFF
            file.chmod(0o600)
            file.write_bytes(data)
            count += 1
    return count


async def test_without_a_model_the_declared_answer_is_given(agents, heldout):
    """A damaged model with nothing else behind it: the static answer, labelled, and the reason."""
    home = agents.write(toml=toml(failsafe=STATIC))
    agents.start(home).stop()
    assert damage(home) == 1
    file = home / "device.toml"
    file.write_text(file.read_text().replace(f'bundle = "{bundle_path("digits")}"\n', "", 1))
    agent = agents.start(home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        result = await client.infer("digits", {"image": heldout[0][:1]})
        assert (result.rung, result.failsafe) == (Rung.STATIC, True)
        assert result.outputs["logits"].argmax() == 0
        with pytest.raises(RequestError) as caught:
            await client.infer("digits", {"image": heldout[0][:1]}, allow=Rung.LAST_GOOD)
        assert caught.value.code is ErrorCode.DEGRADED_ONLY
    sample = await status(agent)
    assert sample.state is AgentState.ERROR
    (held,) = sample.routes
    assert (held.rung, held.cause) == (Rung.STATIC, "primary_down")
    assert "model.onnx" in on(held, Rung.PRIMARY).reason


async def test_without_a_declaration_it_stops(agents, heldout):
    """Nothing is made up: a typed refusal, an alarm, and the state says why."""
    home = agents.write(toml=toml())
    agents.start(home).stop()
    assert damage(home) == 1
    file = home / "device.toml"
    file.write_text(file.read_text().replace(f'bundle = "{bundle_path("digits")}"\n', "", 1))
    agent = agents.start(home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        with pytest.raises(RequestError, match=r"model\.onnx") as caught:
            await client.infer("digits", {"image": heldout[0][:1]})
    assert caught.value.code is ErrorCode.SAFE_STOP
    held = await route(agent)
    assert held.rung is Rung.STOP
    assert "nothing can answer" in held.alarm


async def test_a_damaged_bundle_gives_way_to_the_one_before(agents, heldout, tmp_path):
    """A cold start with the active bundle damaged serves the previous one, and says so."""
    from edgeconsole.bundle import Bundle
    from edgeconsole.bundle.writer import Contents, write_bundle

    old = Bundle.open(bundle_path("digits-tiny"))
    inputs, outputs = old.golden()
    write_bundle(
        tmp_path / "old",
        Contents((old.path / "model.onnx").read_bytes(), inputs, outputs),
        model="digits",
        version="0",
        task=old.manifest.task,
        inputs=old.manifest.inputs,
        outputs=old.manifest.outputs,
    )
    text = toml()
    home = agents.write(toml=text.replace(str(bundle_path("digits")), str(tmp_path / "old")))
    agents.start(home).stop()
    (home / "device.toml").write_text(text)
    agents.start(home).stop()
    assert damage(home) == 1
    (home / "device.toml").write_text(text.replace(f'bundle = "{bundle_path("digits")}"\n', "", 1))
    agent = agents.start(home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        result = await client.infer("digits", {"image": heldout[0][:1]})
        assert (result.model, result.model_version, result.rung) == ("digits", "0", Rung.PRIMARY)
    assert "digits/0/fp32 serves instead" in (await route(agent)).alarm
    assert "model_fell_back" in agent.log


async def test_the_fallback_is_loaded_for_that_alone_proven_and_exercised(
    agents, heldout, eventually
):
    """A fallback with `load = false` has a worker, a cost, fresh self-tests and shadow traffic, but
    does not answer to its own name.
    """
    agent = agents.start(
        agents.write(
            toml=toml(
                model='fallback_models = ["digits-tiny"]',
                failsafe="shadow_share = 0.1",
                tiny="load = false",
            )
        )
    )

    async def ready():
        return on(await route(agent), Rung.FALLBACK).available

    await eventually(ready)
    async with EdgeClient(agent.url, token=agent.token) as client:
        for index in range(100):
            result = await client.infer("digits", {"image": heldout[0][index : index + 1]})
            assert result.rung is Rung.PRIMARY
        with pytest.raises(RequestError) as caught:
            await client.infer("digits-tiny", {"image": heldout[0][:1]})
        assert caught.value.code is ErrorCode.UNKNOWN_MODEL

        async def tested():
            rung = on(await route(agent), Rung.FALLBACK)
            return rung.self_test_ms is not None and rung.self_test_age_s < 1.5

        await eventually(tested)
    held = await route(agent)
    rung = on(held, Rung.FALLBACK)
    assert (rung.model, rung.version) == ("digits-tiny", "1")
    assert rung.memory_bytes > 10 << 20
    assert 3 <= held.shadow_total <= 10
    assert held.answers == {"primary": 100}
    tiny = next(each for each in (await status(agent)).models if each.model == "digits-tiny")
    assert (tiny.requests_total, tiny.answered_total) == (0, 0)  # None were its own.


async def test_memory_may_forbid_the_fallback(agents):
    """Where too little would stay free, the rung is unavailable with that reason."""
    agent = agents.start(
        agents.write(
            toml=toml(
                agent="[failsafe]\nmemory_reserve_mb = 1048576",
                model='fallback_models = ["digits-tiny"]',
                tiny="load = false",
            )
        )
    )
    rung = on(await route(agent), Rung.FALLBACK)
    assert not rung.available
    assert "memory" in rung.reason or "not loaded" in rung.reason
    assert len(agent.worker_pids()) == 1


async def test_the_last_good_answer_while_it_is_young(agents, heldout, eventually):
    """A stopped worker with old answers allowed: the last one with its age, then a refusal."""
    agent = agents.start(agents.write(toml=toml(failsafe="last_good_max_age_ms = 1500.0")))
    image = {"image": heldout[0][:1]}
    async with EdgeClient(agent.url, token=agent.token) as client:
        good = await client.infer("digits", image)
        (pid,) = agent.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        try:
            seen = Counter()
            until_s = time.monotonic() + 2.5
            while time.monotonic() < until_s:
                try:
                    result = await client.infer("digits", image, deadline_ms=100)
                except RequestError as error:
                    seen[error.code] += 1
                    continue
                seen[result.rung] += 1
                assert result.rung is Rung.LAST_GOOD
                assert result.age_ms <= 1600.0
                assert np.array_equal(result.outputs["logits"], good.outputs["logits"])
            assert seen[Rung.LAST_GOOD] > 3
            assert set(seen) - {Rung.LAST_GOOD}
        finally:
            os.kill(pid, signal.SIGCONT)

        async def back():
            try:
                return (await client.infer("digits", image)).rung is Rung.PRIMARY
            except RequestError:
                return False

        await eventually(back)


async def test_damaged_overrides_hold_everything_until_a_person_looked(agents, heldout):
    """A record that cannot be read may have been a stop: the agent comes up in failsafe."""
    home = agents.write(toml=toml(failsafe=STATIC))
    agent = agents.start(home)
    await force(agent, OverrideKind.FAILSAFE)
    agent.stop()
    (home / "state" / "overrides.json").write_bytes(b"{")
    agent = agents.start(home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        assert (await client.infer("digits", {"image": heldout[0][:1]})).rung is Rung.STATIC
    held = (await route(agent)).override
    assert (held.actor, held.kind) == ("the agent", OverrideKind.FAILSAFE)
    assert "overrides_damaged" in agent.log
    assert (home / "state" / "overrides.json.damaged").exists()
    assert "released" in await release(agent)
