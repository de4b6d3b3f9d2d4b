"""Faults at random, one while the last one may still be felt."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from edgeconsole.protocol.inference import Rung
from faults.fault import Fault, Inject, Scene
from faults.files import damaged, flipped, truncated
from faults.load import Say
from faults.models import ENDLESS, GIVES_NAN, MODEL
from faults.outside import flooded
from faults.workers import commanded, late, signalled

_LASTS_S: Final = 60.0
KINDS: Final[dict[str, Inject]] = {
    "killed": signalled(signal.SIGKILL),
    "stopped": signalled(signal.SIGSTOP),
    "segfault": signalled(signal.SIGSEGV),
    "late": late(12.0),
    "bimodal": late(12.0, 0.3),
    "endless": commanded(Say(turns=ENDLESS, once=1)),
    "nan": commanded(Say(kind=GIVES_NAN)),
    "large": commanded(Say(floats=2e7, share=0.2)),
    "truncated": damaged(truncated, MODEL),
    "flipped": damaged(flipped, MODEL),
    "deleted": damaged(Path.unlink, MODEL),
    "malformed": flooded(("messages", 2000), ("frames", 400), ("handshakes", 200), seconds=10.0),
    "connections": flooded(("connections", 300), seconds=1.0),
    "slow": flooded(("slow", 500), seconds=1.0),
}


@contextlib.asynccontextmanager
async def at_random(scene: Scene) -> AsyncIterator[None]:
    """Do one thing after the other, without waiting for the last one's end."""
    rng = random.Random(scene.seed)
    done: list[str] = []
    until_s = time.monotonic() + _LASTS_S
    scene.begins()
    while time.monotonic() < until_s:
        name = rng.choice(sorted(KINDS))
        done.append(name)
        part = Scene(scene.plant, scene.shim, rng.getrandbits(30))
        async with KINDS[name](part):
            await asyncio.sleep(rng.uniform(0.2, 1.5))
        scene.wrong += part.wrong
        await asyncio.sleep(rng.expovariate(0.5))
    scene.notes.append(", ".join(done))
    yield


FAULTS = (Fault(f"at random, {_LASTS_S:.0f} s", at_random, falls_to=Rung.FALLBACK, falls=False),)
