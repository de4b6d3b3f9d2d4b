"""`ControlLink` against a real server: replies find their command, and every way to fail is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from edgeconsole.errors import (
    AuthError,
    EdgeConsoleError,
    ErrorCode,
    LinkError,
    ProtocolError,
    RequestError,
)
from edgeconsole.fleet.control import ControlLink, Push
from edgeconsole.protocol.control import (
    Command,
    Done,
    EventPush,
    Failed,
    GetStatus,
    ListModels,
    SamplePush,
    Subscribe,
)
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample

Make = Callable[..., Any]


async def test_hello_says_who_the_agent_is(small_agent: Any) -> None:
    """The greeting is answered with the agent's description."""
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        hello = await link.hello()
    assert (hello.agent_id, hello.boot_id) == ("a", "boot-1")


async def test_replies_find_their_command_in_any_order(small_agent: Any) -> None:
    """Commands in flight together get their own replies, whichever comes first."""
    held: list[Command] = []

    def answer(command: Command) -> list[Any]:
        held.append(command)
        if len(held) < 3:
            return []
        return [Done(each.id, f"reply to {each.id}") for each in reversed(held)]

    small_agent.answer = answer
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        commands = [ListModels(link.next_id()) for _ in range(3)]
        replies = await asyncio.gather(*(link.ask(command) for command in commands))
    assert len({command.id for command in commands}) == 3
    assert [reply.id for reply in replies] == [command.id for command in commands]


@pytest.mark.parametrize(
    ("sent", "code"),
    [("CONFLICT", ErrorCode.CONFLICT), ("CODE_OF_THE_FUTURE", ErrorCode.INTERNAL)],
)
async def test_refusals_are_raised(small_agent: Any, sent: str, code: ErrorCode) -> None:
    """A refused command raises what the agent said; an unknown code counts as internal."""
    small_agent.answer = lambda command: [Failed(command.id, sent, "not now", "later")]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(RequestError) as caught:
            await link.ask(GetStatus(link.next_id()))
    error = caught.value
    assert (error.code, error.message, error.hint) == (code, "not now", "later")


async def test_a_hello_answered_otherwise_is_a_protocol_error(small_agent: Any) -> None:
    """A peer that answers hello with something else does not speak the protocol."""
    small_agent.answer = lambda command: [Done(command.id)]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(ProtocolError, match="answered hello with Done"):
            await link.hello()


async def test_replies_to_nothing_are_passed_over(small_agent: Any) -> None:
    """A reply to a command that was never sent, or twice the same, disturbs nobody."""
    small_agent.answer = lambda command: [
        Done("9999", "stray"),
        Done(command.id, "first"),
        Done(command.id, "second"),
    ]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        for _ in range(2):
            reply = await link.ask(GetStatus(link.next_id()))
            assert isinstance(reply, Done)
            assert reply.message == "first"


async def test_silence_is_a_link_error(small_agent: Any) -> None:
    """An agent that does not answer in time is reported; the next command may still work."""
    small_agent.answer = lambda command: [] if command.id == "1" else [Done(command.id)]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(LinkError, match="did not answer a command"):
            await link.ask(GetStatus(link.next_id()), timeout_s=0.02)
        assert isinstance(await link.ask(GetStatus(link.next_id())), Done)


async def test_commands_in_flight_fail_when_the_connection_closes(small_agent: Any) -> None:
    """Nobody waits for a reply that cannot come any more."""
    small_agent.answer = lambda command: [] if isinstance(command, GetStatus) else None
    small_agent.closes = True
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        waiting = asyncio.create_task(link.ask(GetStatus("waits")))
        await link.ask(Subscribe(link.next_id()))
        with pytest.raises(LinkError, match="closed the connection"):
            await waiting
        await link.closed()
        with pytest.raises(LinkError, match="closed the connection"):
            await link.ask(GetStatus("later"))


GARBAGE = ["", "{", "[]", '{"type":"surprise"}', b"\xff\xfe", "[" * 100_000]


@pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_frame_that_cannot_be_read_ends_the_link(
    small_agent: Any, frame: str | bytes
) -> None:
    """What waits fails at once, `closed` says why, and later commands do not wait for nothing."""
    small_agent.answer = lambda _: [frame]
    async with small_agent, ControlLink(small_agent.url, small_agent.token) as link:
        with pytest.raises(LinkError):
            await link.ask(GetStatus(link.next_id()))
        with pytest.raises(ProtocolError, match="cannot be read"):
            await link.closed()
        with pytest.raises(LinkError, match="closed the connection"):
            await link.ask(GetStatus(link.next_id()))


@pytest.mark.parametrize("heard", [True, False])
async def test_pushes_are_handed_on(
    small_agent: Any, make_sample: Make, make_event: Make, *, heard: bool
) -> None:
    """Samples and events reach whoever takes them, in order, and never count as replies."""
    sample: DeviceSample = make_sample()
    event: DeviceEvent = make_event()
    small_agent.answer = lambda command: [
        EventPush(event),
        SamplePush(sample),
        Done(command.id),
    ]
    taken: list[Push] = []
    take = taken.append if heard else None
    async with small_agent, ControlLink(small_agent.url, small_agent.token, take) as link:
        assert isinstance(await link.ask(Subscribe(link.next_id())), Done)
    assert taken == ([EventPush(event), SamplePush(sample)] if heard else [])


async def test_leaving_closes_the_connection(small_agent: Any) -> None:
    """The agent sees the console go, also when the console fails."""

    async def fail() -> None:
        async with ControlLink(small_agent.url, small_agent.token) as link:
            await link.hello()
            raise EdgeConsoleError("of the test")

    async with small_agent:
        with pytest.raises(EdgeConsoleError, match="of the test"):
            await fail()
        await asyncio.wait_for(small_agent.gone.get(), 5)


async def test_a_wrong_token_is_refused_with_the_agents_words(small_agent: Any) -> None:
    """The refusal repeats what the agent said and its hint."""
    async with small_agent:
        with pytest.raises(AuthError, match="the token is wrong") as caught:
            async with ControlLink(small_agent.url, "wrong"):
                pass
    assert caught.value.hint == "copy it"
