"""Faults of workers and of models: signals, lateness, memory, outputs that are none."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from edgeconsole.protocol.inference import Rung
from faults.fault import Fault, Inject, Scene
from faults.load import Say
from faults.models import ENDLESS, GIVES_CONSTANT, GIVES_NAN, MODEL

EIGHT_GIB: float = float(2**31)
"""In floats."""


def signalled(number: signal.Signals) -> Inject:
    """Send a signal to the primary's worker."""

    @contextlib.asynccontextmanager
    async def inject(scene: Scene) -> AsyncIterator[None]:
        scene.begins()
        await scene.plant.signal_workers(number, MODEL)
        yield

    return inject


def commanded(say: Say) -> Inject:
    """Have requests command something until the fault ends."""

    @contextlib.asynccontextmanager
    async def inject(scene: Scene) -> AsyncIterator[None]:
        await scene.plant.say(say)
        scene.begins()
        yield
        await scene.plant.say(Say())

    return inject


def late(factor: float, share: float = 1.0) -> Inject:
    """Make the primary so many times as slow, for a share of the requests."""

    @contextlib.asynccontextmanager
    async def inject(scene: Scene) -> AsyncIterator[None]:
        async with commanded(Say(turns=factor * scene.plant.turns, share=share))(scene):
            yield

    return inject


@contextlib.asynccontextmanager
async def ramping(scene: Scene) -> AsyncIterator[None]:
    """Make the primary slower and slower, up to twenty times in four seconds."""

    async def climb() -> None:
        for step in range(1, 41):
            await scene.plant.say(Say(turns=(1 + 19 * step / 40) * scene.plant.turns))
            await asyncio.sleep(0.1)

    scene.begins()
    climbing = asyncio.create_task(climb())
    try:
        yield
        await climbing
    finally:
        climbing.cancel()
        await asyncio.gather(climbing, return_exceptions=True)
        await scene.plant.say(Say())


@contextlib.asynccontextmanager
async def leaking(scene: Scene) -> AsyncIterator[None]:
    """Have the worker's arena grow until it is above its limit: each request wants more than is there."""
    scene.begins()
    until_s = time.monotonic() + 10.0
    floats = 4e6
    while time.monotonic() < until_s:
        await scene.plant.say(Say(floats=floats, once=1))
        await asyncio.sleep(0.15)
        if saw(scene, "worker_over_memory"):
            break
        floats = min(floats * 1.5, 2e8)
    scene.check("the leak was not noticed", holds=saw(scene, "worker_over_memory"))
    await scene.plant.say(Say())
    yield


def saw(scene: Scene, kind: str) -> bool:
    """Say whether the agent told of an event of a kind since the fault began."""
    return any(at_s >= scene.begun_s and event.kind == kind for at_s, event in scene.plant.events)


FAULTS = (
    Fault("worker killed (SIGKILL)", signalled(signal.SIGKILL), 1.0, Rung.FALLBACK, falls=False),
    Fault("worker stopped (SIGSTOP)", signalled(signal.SIGSTOP), 2.0, Rung.FALLBACK),
    Fault("worker segfault (SIGSEGV)", signalled(signal.SIGSEGV), 1.0, Rung.FALLBACK, falls=False),
    Fault("answers 12 times as late", late(12.0), 4.0, Rung.FALLBACK),
    Fault("answers later and later, to 20 times", ramping, 4.5, Rung.FALLBACK),
    Fault("answers bimodal, 30 % at 12 times", late(12.0, 0.3), 4.0, Rung.FALLBACK, falls=False),
    Fault("endless loop in the graph", commanded(Say(turns=ENDLESS, once=1)), 2.0, Rung.FALLBACK),
    Fault(
        "graph that asks for 8 GiB",
        commanded(Say(floats=EIGHT_GIB, once=1)),
        2.0,
        Rung.FALLBACK,
    ),
    Fault("leak up to the memory limit", leaking, 1.0, Rung.FALLBACK, falls=False),
    Fault("outputs NaN", commanded(Say(kind=GIVES_NAN)), 3.0, Rung.FALLBACK),
    Fault("outputs constant", commanded(Say(kind=GIVES_CONSTANT)), 4.0, Rung.FALLBACK),
)
