"""`DeviceLink` against a real server: it shows what happens and never gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgeconsole.errors import AuthError
from edgeconsole.fleet import links
from edgeconsole.fleet.links import DeviceLink
from edgeconsole.fleet.open_links import OpenLinks
from edgeconsole.fleet.store import FleetStore, LinkState
from edgeconsole.protocol.control import Command, EventPush, Failed, SamplePush, Subscribe
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample
from edgeconsole.specs import FleetDevice, FleetSpec
from edgeconsole.transport import Backoff

Make = Callable[..., Any]
GIVE_UP_S = 10.0


class Watched(FleetStore):
    """A store that tells, in order, what the link's state becomes."""

    def __init__(self, spec: FleetSpec) -> None:
        super().__init__(spec)
        self.changes: asyncio.Queue[tuple[LinkState, str]] = asyncio.Queue()
        self.waits: list[float] = []

    def set_link(
        self, device_id: str, link: LinkState, reason: str = "", retry_in_s: float | None = None
    ) -> None:
        """Record, and tell."""
        super().set_link(device_id, link, reason, retry_in_s)
        if retry_in_s is not None:
            self.waits.append(retry_in_s)
        self.changes.put_nowait((link, reason))

    async def until(self, wanted: LinkState) -> str:
        """Wait until the link's state becomes this one; returns the reason."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                link, reason = await self.changes.get()
                if link is wanted:
                    return reason


class Heard:
    """A recorder that hands on what it is given."""

    def __init__(self) -> None:
        self.samples: asyncio.Queue[DeviceSample] = asyncio.Queue()
        self.events: asyncio.Queue[DeviceEvent] = asyncio.Queue()

    def add_sample(self, device_id: str, sample: DeviceSample) -> None:
        """Take a sample."""
        assert device_id == "a"
        self.samples.put_nowait(sample)

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Take an event."""
        assert device_id == "a"
        self.events.put_nowait(event)


@asynccontextmanager
async def follow(
    url: str, token: Callable[[], str]
) -> AsyncIterator[tuple[Watched, Heard, asyncio.Task[None]]]:
    """Run a link that tries again at once."""
    device = FleetDevice("a", url)
    store, heard = Watched(FleetSpec(devices=(device,))), Heard()
    link = DeviceLink(device, token, store, heard, OpenLinks().through)
    link._backoff = Backoff(first_s=0.002, most_s=0.01)
    task = asyncio.create_task(link.run())
    try:
        yield store, heard, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def subscription(small_agent: Any) -> Subscribe:
    """Return what the link asks for next."""
    found: Subscribe = await asyncio.wait_for(small_agent.subscribed.get(), GIVE_UP_S)
    return found


@pytest.fixture(autouse=True)
def _refused_links_try_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not make tests wait for a refused link's next try."""
    monkeypatch.setattr(links, "_REFUSED_RETRY_S", 0.01)


async def test_a_link_fills_store_and_recorder(
    small_agent: Any, make_sample: Make, make_event: Make
) -> None:
    """A healthy link goes live, and what the agent pushes is shown and kept."""
    small_agent.pushes = [EventPush(make_event(4)), SamplePush(make_sample(9))]
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as running:
        store, heard, _ = running
        assert await store.changes.get() == (LinkState.CONNECTING, "")
        assert await store.changes.get() == (LinkState.LIVE, "")
        assert await heard.samples.get() == make_sample(9)
        assert await heard.events.get() == make_event(4)
        asked = await subscription(small_agent)
    view = store.device("a")
    assert view is not None
    assert view.hello == small_agent.hello("1")
    assert view.sample == make_sample(9)
    assert store.events("a") == (make_event(4),)
    assert (asked.interval_s, asked.boot_id, asked.after_seq) == (1.0, "", 0)


async def test_a_refused_link_goes_on_with_a_new_token(small_agent: Any) -> None:
    """A wrong token shows as refused with the agent's words; a corrected one is picked up."""
    tokens = ["wrong"]
    async with small_agent, follow(small_agent.url, lambda: tokens[-1]) as (store, _, _):
        for _ in range(2):
            reason = await store.until(LinkState.REFUSED)
            assert "the token is wrong (copy it)" in reason
        tokens.append(small_agent.token)
        await store.until(LinkState.LIVE)


async def test_a_missing_token_file_is_a_refusal(small_agent: Any) -> None:
    """Without a token nobody is asked; the reason says what to do."""

    def no_token() -> str:
        raise AuthError("there is no token file", hint="copy it from the device")

    async with small_agent, follow(small_agent.url, no_token) as (store, _, _):
        reason = await store.until(LinkState.REFUSED)
    assert reason == "there is no token file (copy it from the device)"


async def test_a_closed_link_is_opened_again(small_agent: Any) -> None:
    """An agent that hangs up is shown as waiting, with the reason, and then live again."""
    small_agent.closes = True
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as (store, _, _):
        for _ in range(3):
            await store.until(LinkState.LIVE)
            assert await store.until(LinkState.WAITING) == "the device closed the connection"
        small_agent.closes = False
        await store.until(LinkState.LIVE)
    assert all(0 < wait_s <= 0.01 for wait_s in store.waits)


async def test_an_agent_that_is_not_there_is_waited_for(small_agent: Any) -> None:
    """A link starts before its device, outlives it, and finds it again on the same port."""
    async with small_agent:
        pass  # Learn a port that nobody listens on now.
    async with follow(small_agent.url, lambda: small_agent.token) as (store, _, _):
        for _ in range(2):
            reason = await store.until(LinkState.WAITING)
            assert "Connection refused" in reason
            async with small_agent:
                await store.until(LinkState.LIVE)
            await store.until(LinkState.WAITING)


@pytest.mark.parametrize("frame", ["", "{", '{"type":"sample"}', b"\xff"], ids=range(4))
async def test_garbage_is_not_fatal(
    small_agent: Any, make_sample: Make, frame: str | bytes
) -> None:
    """A frame that cannot be read breaks the connection, not the link; what was heard stays."""
    small_agent.pushes = [SamplePush(make_sample(1)), frame]
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as running:
        store, heard, _ = running
        assert "cannot be read" in await store.until(LinkState.WAITING)
        small_agent.pushes = [SamplePush(make_sample(2))]
        await store.until(LinkState.LIVE)
        assert (await heard.samples.get()).seq == 1
        while (await heard.samples.get()).seq != 2:
            pass


async def test_an_impossible_sample_is_not_fatal(
    small_agent: Any, make_sample: Make, make_model: Make
) -> None:
    """A deadline of zero, which no budget can be computed of, stays outside of the store."""
    small_agent.pushes = [SamplePush(make_sample(models=(make_model(deadline_ms=0.0),)))]
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as running:
        store, heard, _ = running
        assert "deadline_ms" in await store.until(LinkState.WAITING)
        assert heard.samples.empty()
        view = store.device("a")
        assert view is not None
        assert view.sample is None


async def test_a_refused_greeting_is_shown(small_agent: Any) -> None:
    """An agent that does not speak our version says so, and its sentence is what is shown."""
    said = "this agent speaks control version 2"
    small_agent.answer = lambda command: [Failed(command.id, "MALFORMED", said)]
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as running:
        store, _, task = running
        for _ in range(2):
            assert await store.until(LinkState.WAITING) == said
        assert not task.done()


@pytest.mark.parametrize("url", ["ws://127.0.0.1:99999", "ws://a..b:1", "ws://[::1"])
async def test_an_impossible_address_does_not_end_the_link(url: str) -> None:
    """An address only `connect` finds wrong is shown as a refusal, again and again."""
    async with follow(url, lambda: "token") as (store, _, task):
        for _ in range(2):
            assert "is not an agent's address" in await store.until(LinkState.REFUSED)
        assert not task.done()


async def test_a_reconnect_asks_for_what_it_missed(small_agent: Any, make_event: Make) -> None:
    """After a break the link names the latest event it heard, and of which start of the agent."""
    small_agent.closes = True
    small_agent.pushes = [EventPush(make_event(7)), EventPush(make_event(8))]
    async with small_agent, follow(small_agent.url, lambda: small_agent.token):
        asked = [await subscription(small_agent)]
        small_agent.pushes = []
        asked.append(await subscription(small_agent))
    assert [(each.boot_id, each.after_seq) for each in asked] == [("", 0), ("boot-1", 8)]


async def test_a_restarted_agent_starts_over(small_agent: Any, make_event: Make) -> None:
    """Numbers of an earlier start are named with that start; the new start's count from its first."""
    asked: list[tuple[str, int]] = []
    hellos: list[str] = []

    def answer(command: Command) -> None:
        if isinstance(command, Subscribe):
            asked.append((command.boot_id, command.after_seq))
            hellos.append(small_agent.boot_id)
            number = len(asked)
            small_agent.boot_id = "boot-1" if number < 2 else "boot-2"
            seq = (40, 41, 1, 2)[min(number, 4) - 1]
            boot_id = "boot-1" if number <= 2 else "boot-2"
            small_agent.pushes = [EventPush(make_event(seq, boot_id=boot_id))]

    small_agent.closes = True
    small_agent.answer = answer
    async with small_agent, follow(small_agent.url, lambda: small_agent.token) as (store, _, _):
        for _ in range(4):
            await subscription(small_agent)
        while len(store.events("a")) < 4:
            await store.until(LinkState.WAITING)
        view = store.device("a")
    assert asked[:4] == [("", 0), ("boot-1", 40), ("boot-1", 41), ("boot-2", 1)]
    assert hellos[2] == "boot-2"
    assert view is not None
    assert view.hello is not None
    assert view.hello.boot_id == "boot-2"
