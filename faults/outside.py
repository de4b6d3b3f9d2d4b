"""Faults from around the agent: bad clients, stolen cores, a wall clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from faults.fault import Fault, Inject, Scene
from faults.flood import Flood, Report
from faults.plant import with_us

DAY_S: Final = 86_400
_BUSY: Final = "while True: pass"


def flooded(*kinds: tuple[str, int], seconds: float) -> Inject:
    """Let bad clients loose, one process after the other; each sends so much, or for so long."""

    @contextlib.asynccontextmanager
    async def inject(scene: Scene) -> AsyncIterator[None]:
        scene.begins()
        said = []
        for kind, count in kinds:
            report = await _flood(scene, kind, count, seconds)
            said.append(f"{report.sent:,} {kind} on {report.connections:,} connections")
            if kind in ("messages", "frames", "handshakes"):
                scene.check(
                    f"only {report.sent} of {count} {kind} were sent", holds=report.sent >= count
                )
            scene.check("the agent died", holds=scene.plant.alive)
        scene.notes.append("; ".join(said))
        yield

    return inject


async def _flood(scene: Scene, kind: str, count: int, seconds: float) -> Report:
    plant = scene.plant
    flood = {
        "url": plant.url,
        "token": plant.token,
        "kind": kind,
        "count": count,
        "seconds": seconds,
        "seed": scene.seed,
    }
    argument = msgspec.json.encode(msgspec.convert(flood, Flood)).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "faults.flood",
        argument,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=with_us(),
    )
    try:
        out, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        scene.wrong.append(f"the flood itself failed: {error.decode()[-200:]}")
        return Report(0, 0)
    return msgspec.json.decode(out, type=Report)


@contextlib.asynccontextmanager
async def cores_stolen(scene: Scene) -> AsyncIterator[None]:
    """Keep every core busy twice with other programs."""
    command = [sys.executable, "-c", _BUSY]
    count = 2 * (os.cpu_count() or 1)
    thieves = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603, ASYNC220 - our own loop
    scene.begins()
    scene.notes.append(f"{count} busy processes")
    try:
        yield
    finally:
        for thief in thieves:
            thief.kill()
            thief.wait()


@contextlib.asynccontextmanager
async def clock_jumps(scene: Scene) -> AsyncIterator[None]:
    """Let the agent's wall clock jump by a day forth and back, and by ten years."""
    assert scene.shim is not None
    scene.begins()
    for offset_s in (DAY_S, -DAY_S, 3652 * DAY_S):
        scene.shim.command(offset_s=offset_s)
        await asyncio.sleep(1.5)
    scene.shim.command()
    yield


FAULTS = (
    Fault("wall clock ±1 day, +10 years", clock_jumps, 1.0, shimmed=True),
    Fault("5 clients that do not read", flooded(("slow", 1 << 30), seconds=6.0), 0.5),
    Fault(
        "malformed frames and handshakes",
        flooded(("messages", 88_000), ("frames", 8_000), ("handshakes", 6_000), seconds=60.0),
        0.5,
    ),
    Fault("flood of connections", flooded(("connections", 1 << 30), seconds=6.0), 0.5),
    Fault("cores stolen", cores_stolen, 6.0, takes_cores=True),
)
